//! Linked packages in a stage, with what they want to have run.

use std::io::Write as _;
use std::path::Path;

use crate::environment::Means;
use crate::error::{BuildError, Level, at};
use crate::python::place;
use crate::stage::Stage;
use ohoci_conda::link::{Linked, Script};
use ohoci_deps::conda::packages::Fetched;
use ohoci_layer::LayerPath;
use ohoci_unpack::{Owners, unpack};

/// The packages' prefix, in an image.
#[must_use]
pub(crate) fn prefix() -> String {
    format!("/{}", place().display())
}

/// Writes linked packages into a stage that is empty, and runs their scripts there, without a network. What
/// they are, and what of them is left out, is in the log.
pub(crate) fn install(
    linked: Linked,
    fetched: &[Fetched],
    stage: &Stage,
    means: &Means<'_>,
) -> Result<(), BuildError> {
    let (level, step) = (Level::Environment, "link conda's packages");
    log(means.log, &linked, fetched).map_err(at(level, step))?;
    let below = LayerPath::parse(prefix().as_bytes()).map_err(at(level, step))?;
    let tree = linked
        .tree
        .moved_below(&below, 0)
        .map_err(at(level, step))?;
    unpack(tree, &stage.changes(), Owners::Own, &|| true).map_err(at(level, step))?;
    for script in &linked.scripts {
        if is_run(script) {
            run(script, stage, means)?;
        }
    }
    Ok(())
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
