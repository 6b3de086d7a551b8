//! Linked packages under a stage, with what they want to have run.

use std::io::Write as _;
use std::path::Path;

use crate::environment::Means;
use crate::error::{BuildError, Level, at};
use crate::python::place;
use crate::stage::Stage;
use ohoci_conda::link::Script;
use ohoci_deps::conda::packages::Fetched;
use ohoci_deps::conda::unpacked::LinkedPrefix;
use ohoci_layer::{Directory, LayerPath};
use ohoci_node::LayerStore;
use ohoci_sandbox::RemovedDirectory;

/// What failed, for messages.
const STEP: &str = "link conda's packages";

/// The packages' prefix, in an image.
#[must_use]
pub(crate) fn prefix() -> String {
    format!("/{}", place().display())
}

/// An environment's packages in a directory of their own, and what linking them came to.
#[derive(Debug)]
pub(crate) struct Linked {
    root: RemovedDirectory,
    scripts: Vec<Script>,
    menus: Vec<(String, LayerPath)>,
    overwritten: Vec<(String, String, LayerPath)>,
}

impl Linked {
    /// Writes a prefix into a directory that stands for the image's root, beside the packages in the store, so that
    /// its files can be further names of those. Nothing that runs may change them: the directory is only for a stage
    /// to stand on.
    pub(crate) fn write(
        mut packages: LinkedPrefix,
        store: &LayerStore,
    ) -> Result<Self, BuildError> {
        let level = Level::Environment;
        let root = RemovedDirectory::create_in(&store.scratch()).map_err(at(level, STEP))?;
        Directory::open(root.path())
            .and_then(|root| root.make_directory(place()))
            .map_err(at(level, STEP))?;
        let linked = &mut packages.linked;
        let written = Self {
            scripts: std::mem::take(&mut linked.scripts),
            menus: std::mem::take(&mut linked.menus),
            overwritten: std::mem::take(&mut linked.overwritten),
            root,
        };
        let prefix = written.root().join(place());
        packages.write(&prefix).map_err(at(level, STEP))?;
        Ok(written)
    }

    /// The directory that stands for the image's root.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// Runs the packages' scripts in a stage over them, without a network. What they are, and what of them is left
    /// out, is in the log.
    pub(crate) fn install(
        &self,
        fetched: &[Fetched],
        stage: &Stage,
        means: &Means<'_>,
    ) -> Result<(), BuildError> {
        log(means.log, self, fetched).map_err(at(Level::Environment, STEP))?;
        self.scripts
            .iter()
            .filter(|script| is_run(script))
            .try_for_each(|script| run(script, stage, means))
    }
}

/// Scripts that run before files are there are of old, and conda itself warns of them.
fn is_run(script: &Script) -> bool {
    script.path.name().ends_with(b"-post-link.sh")
}

fn run(script: &Script, stage: &Stage, means: &Means<'_>) -> Result<(), BuildError> {
    let prefix = prefix();
    let step = format!("run the post-link script of {}", script.package);
    let words = [
        "env".to_owned(),
        format!("PREFIX={prefix}"),
        format!("PKG_NAME={}", script.package),
        format!("PKG_VERSION={}", script.version),
        format!("PKG_BUILDNUM={}", script.build_number),
        format!("PATH={prefix}/bin:{}", means.base_path),
        "bash".to_owned(),
        format!("{prefix}{}", script.path),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    means.run(stage, Level::Environment, &step, &words, &prefix)
}

fn log(log: &Path, linked: &Linked, fetched: &[Fetched]) -> std::io::Result<()> {
    let mut log = fs_err::OpenOptions::new().append(true).open(log)?;
    writeln!(log, "conda's packages:")?;
    for one in fetched {
        writeln!(
            log,
            "  {} {} of {}",
            one.located.path(),
            one.digest,
            one.located.channel
        )?;
    }
    for script in &linked.scripts {
        let what = match is_run(script) {
            true => "is run in the sandbox",
            false => "is not run: it is for before its files are there",
        };
        writeln!(log, "script of {}: {} {what}", script.package, script.path)?;
    }
    for (package, path) in &linked.menus {
        writeln!(log, "menu of {package}: {path} is not made")?;
    }
    for (package, other, path) in &linked.overwritten {
        writeln!(
            log,
            "{path} is in {other} and in {package}: that of {package} is there"
        )?;
    }
    Ok(())
}
