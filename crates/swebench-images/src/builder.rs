//! Builds instances level by level: each level once, however many instances stand on it, and only
//! where no earlier run has left it in the cache.

mod alone;
mod interpreters;
mod linked;
mod once;
mod workplace;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::base::Base;
use super::checkout::{Checkout, Part};
use super::conda_python::CondaPython;
use super::conda_use::CondaUse;
use super::disk::Disk;
use super::environment;
use super::error::{BuildError, Level, at};
use super::git::Git;
use super::instance;
use super::interpreter::Interpreter;
use super::kept::{self, KeptLayer};
use super::pip::PipSettings;
use super::python::PythonPrefix;
use super::repository::{self, RepoSource, Repository};
use super::shared_levels::SharedLevels;
use super::sizes::Sized;
use super::stage::Tools;
use super::unpacked::Unpacked;
use ohoci_compose::resolver::Resolver;
use ohoci_deps::conda::source::CondaSource;
use ohoci_image::env::DEFAULT_PATH;
use ohoci_layer::pack::PackOptions;
use ohoci_node::Stack;
use ohoci_sandbox::{Network, Process};
use ohoci_store::cache::Cache;
use ohoci_swebench::environment::{Environment, EnvironmentError, script_file};
use ohoci_swebench::names::{self, Architecture};
use ohoci_swebench::row::Row;
use ohoci_swebench::setup_script;
use ohoci_swebench::specs::{Catalogue, Specs};

/// The version of the keys: it changes when equal input gives other layers.
const VERSION: u32 = 2;

/// What all builds of a run have in common.
#[derive(Debug)]
pub struct Settings {
    /// Where layers are kept between runs.
    pub cache: Arc<Cache>,
    /// The cache's directory, where clones and what pip downloads are kept, too.
    pub cache_dir: Option<PathBuf>,
    /// Where files that are made on the way are written.
    pub work_dir: PathBuf,
    /// Where build logs are written: `logs/build_images`.
    pub logs: PathBuf,
    /// Programs of this machine.
    pub tools: Tools,
    /// git.
    pub git: Git,
    /// A `PATH` in which uv is looked for.
    pub path: Option<OsString>,
    /// pip's settings.
    pub pip: PipSettings,
    /// What installation may reach.
    pub network: Network,
    /// How layers are compressed.
    pub packing: PackOptions,
    /// Where repositories come from.
    pub sources: Vec<RepoSource>,
    /// Where Pythons are, before the base's own and those that uv has.
    pub python_dir: Option<PathBuf>,
    /// Unpacked layers.
    pub(crate) unpacked: Arc<Unpacked>,
    /// Where levels are shared with other machines.
    pub levels: Option<SharedLevels>,
    /// What holds the run to a number of bytes on the disk.
    pub(crate) disk: Option<Arc<Disk>>,
    /// conda packages to do without.
    pub left_out: Vec<String>,
    /// Where conda's packages are taken from, if this machine has channels.
    pub conda: Option<CondaSource>,
    /// The architecture that images are named after.
    pub architecture: Architecture,
    /// The tag in images' names.
    pub tag: String,
}

/// A level that is there.
#[derive(Clone, Debug)]
pub struct Made {
    /// A name for what it was made from.
    pub key: String,
    /// The layer.
    pub layer: KeptLayer,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// An instance whose layers are there.
#[derive(Debug)]
pub struct BuiltInstance {
    /// The levels above the base, lowest first: Python, packages, history, checkout, patches.
    pub levels: Vec<(&'static str, Arc<Made>)>,
    /// How long the instance's own level took, in seconds.
    pub seconds: f64,
    /// How long of that its setup script ran, in seconds.
    pub script_seconds: f64,
}

type Slot = Arc<Mutex<Option<Result<Arc<Made>, BuildError>>>>;

/// Builds instances.
#[derive(Debug)]
pub struct Builder {
    settings: Settings,
    base: Base,
    base_path: String,
    /// pip's settings on this base.
    pip: PipSettings,
    /// Where pip keeps what it built on this base.
    wheels: Option<PathBuf>,
    resolver: Arc<Resolver>,
    slots: Mutex<HashMap<String, Slot>>,
    /// Whether the base was found to have what it needs.
    is_checked: Mutex<bool>,
    /// The keys of prefixes by version, for plans.
    prefixes: Mutex<HashMap<String, Option<String>>>,
}

/// An instance to be built.
#[derive(Clone, Debug)]
pub struct Order {
    /// The row.
    pub row: Row,
    /// How its version is installed.
    pub specs: Specs,
    /// Its environment.
    pub environment: Environment,
    /// What conda's channels have of it, where there are any.
    pub conda: Option<CondaUse>,
    /// The model's patch, where patches are to be baked in.
    pub model_patch: Option<String>,
    /// Whether patches are baked in.
    pub with_patches: bool,
}

impl Order {
    /// The patches that there are to bake in, in upstream's order.
    fn patches(&self) -> Vec<(&'static str, &str)> {
        let model = ("model.patch", self.model_patch.as_deref());
        let test = ("test.patch", self.row.test_patch.as_deref());
        let patches = [model, test].into_iter();
        patches
            .filter_map(|(name, patch)| Some((name, patch?)))
            .filter(|(_, patch)| !patch.trim().is_empty())
            .collect()
    }
}

impl Builder {
    /// A builder on a base.
    #[must_use]
    pub fn new(settings: Settings, base: Base, resolver: Arc<Resolver>) -> Self {
        let wheels = settings.cache_dir.as_ref();
        let wheels = wheels.map(|directory| directory.join("pip-wheels").join(base.digest.hex()));
        let pip = settings.pip.with_wheels(wheels.as_deref());
        Self {
            pip,
            wheels,
            settings,
            base_path: path_of(&base),
            base,
            resolver,
            slots: Mutex::default(),
            is_checked: Mutex::default(),
            prefixes: Mutex::default(),
        }
    }

    /// The base.
    #[must_use]
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// Unpacked layers.
    #[must_use]
    pub(crate) fn unpacked(&self) -> &Arc<Unpacked> {
        &self.settings.unpacked
    }

    /// What holds the run to a number of bytes on the disk.
    #[must_use]
    pub(crate) fn disk(&self) -> Option<&Arc<Disk>> {
        self.settings.disk.as_ref()
    }

    /// What images are read and pushed with.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The environment of a row, for which the repository may have to be looked into.
    ///
    /// # Errors
    /// When the row, the table or the repository lack something.
    pub fn environment_of(
        row: &Row,
        catalogue: &Catalogue,
        git: &Git,
        sources: &[RepoSource],
        clones: &Path,
    ) -> Result<Environment, EnvironmentError> {
        ohoci_swebench::environment::environment(row, catalogue, &|commit, path| {
            let found = repository::locate(git, sources, &row.repo, commit, clones).ok()?;
            found.file(commit, path)
        })
    }

    /// Builds an instance's levels. To be called where blocking is allowed, within a runtime.
    ///
    /// # Errors
    /// The level that cannot be built, and why.
    pub fn build(&self, order: &Order) -> Result<BuiltInstance, BuildError> {
        if order.with_patches {
            instance::refuse_patches(&order.patches())?;
        }
        let (python, environment) = self.environment_levels(order)?;
        let started = Instant::now();
        let repository = self.repository(&order.row)?;
        let commit = order.row.base_commit.as_deref().unwrap_or_default();
        let level = Level::Instance;
        let checkout =
            Checkout::plan(&repository, commit).map_err(at(level, "look at the repository"))?;
        let history = self.history(&repository, &checkout)?;
        let mut below: Vec<Arc<Made>> = history.iter().rev().cloned().collect();
        below.extend([Arc::clone(&environment), Arc::clone(&python)]);
        let mut script_seconds = 0.0;
        let instance = self.instance(order, &repository, &checkout, &below, &mut script_seconds)?;
        let cache = &self.settings.cache;
        let lock = &order.environment.lock;
        let own = Sized::Instance(order.row.instance_id.clone(), commit.to_owned());
        for (sized, made) in [
            (Sized::python(lock), &python),
            (Sized::environment(lock), &environment),
            (own, &instance),
        ] {
            sized.remember(cache, made.layer.size(), made.layer.uncompressed);
        }
        let mut levels = vec![("python", python), ("environment", environment)];
        levels.extend(history.into_iter().map(|part| ("history", part)));
        levels.push(("instance", Arc::clone(&instance)));
        if order.with_patches {
            let below: Vec<Arc<Made>> = levels
                .iter()
                .rev()
                .map(|(_, made)| Arc::clone(made))
                .collect();
            levels.push(("patches", self.patches(order, &below)?));
        }
        Ok(BuiltInstance {
            levels,
            seconds: started.elapsed().as_secs_f64(),
            script_seconds,
        })
    }

    /// Python and packages of an instance.
    fn environment_levels(&self, order: &Order) -> Result<(Arc<Made>, Arc<Made>), BuildError> {
        let lock = &order.environment.lock;
        let (interpreter, python) = match order.conda.as_ref().and_then(CondaUse::packages) {
            Some(packages) => {
                let python = CondaPython::of(lock, packages);
                let interpreter = Interpreter::Conda(python);
                let made = self.linked(&interpreter, lock, packages)?;
                (interpreter, made)
            }
            None => {
                let version = &lock.python;
                let interpreter = self.interpreter(version, &order.specs)?;
                let made = self.python(&interpreter, version)?;
                (interpreter, made)
            }
        };
        let environment = self.environment(&order.environment, &interpreter, &python)?;
        Ok((python, environment))
    }

    /// The levels of an environment as far as they are known beforehand: their keys, and their
    /// layers where an earlier run has left them. Nothing is known without a directory of Pythons:
    /// uv would install what is missing.
    #[must_use]
    pub fn known(&self, environment: &Environment) -> Option<[(String, Option<KeptLayer>); 2]> {
        let lock = &environment.lock;
        let prefix = if lock.linked.is_empty() {
            let directory = self.settings.python_dir.as_ref()?;
            let mut prefixes = self.prefixes.lock();
            let prefix = prefixes
                .entry(lock.python.clone())
                .or_insert_with(|| PythonPrefix::find(directory, &lock.python)?.key().ok());
            prefix.clone()?
        } else {
            CondaPython::of(lock, &[]).key()
        };
        let python = key_of(&["python", &prefix]);
        let key = self.environment_key(environment, &python);
        let find = |key: &str| kept::find(&self.settings.cache, key);
        Some([(python.clone(), find(&python)), (key.clone(), find(&key))])
    }

    /// The repository with a row's commit.
    fn repository(&self, row: &Row) -> Result<Repository, BuildError> {
        let settings = &self.settings;
        let step = "find the repository";
        let commit = row.base_commit.as_deref();
        let commit = commit.ok_or_else(|| {
            BuildError::new(Level::Instance, step, "the row has no field `base_commit`")
        })?;
        let clones = clones(settings.cache_dir.as_deref(), &settings.work_dir);
        repository::locate(&settings.git, &settings.sources, &row.repo, commit, &clones).map_err(
            |error| {
                BuildError::new(Level::Instance, step, error)
                    .hinted("--repo-source DIR or URL, or OWNER/NAME=DIR or URL for one repository")
            },
        )
    }

    fn python(&self, prefix: &Interpreter, version: &str) -> Result<Arc<Made>, BuildError> {
        let level = Level::Environment;
        let key = prefix.key().map_err(at(level, "read Python"))?;
        let key = key_of(&["python", &key]);
        self.once(&key, "python", || {
            let log = self.log("env", &format!("python-{version}"))?;
            let below = self.stack(&[])?;
            let (directory, stage) = self.stage(level, below.directories())?;
            let tree = environment::python(prefix, &stage, &self.means(&log, Network::None))?;
            Ok((tree, directory))
        })
        .map_err(|error| match error.hint {
            Some(_) => error,
            None => error.hinted("--python-dir DIR with one folder per version"),
        })
    }

    fn environment(
        &self,
        environment: &Environment,
        interpreter: &Interpreter,
        python: &Arc<Made>,
    ) -> Result<Arc<Made>, BuildError> {
        let level = Level::Environment;
        let settings = &self.settings;
        let lock = &environment.lock;
        let missing = lock.missing(&settings.left_out);
        if !missing.is_empty() {
            return Err(BuildError::new(
                level,
                "lock packages",
                format!(
                    "no Python package index has the conda packages {}",
                    missing.join(", ")
                ),
            )
            .hinted(format!(
                "--leave-out {} does without them, for example where the base brings them",
                flag_of(&missing)
            )));
        }
        let image = names::environment_image(
            "py",
            settings.architecture,
            &environment.script,
            None,
            &settings.tag,
        );
        let key = self.environment_key(environment, &python.key);
        self.once(&key, "environment", || {
            let log = self.log("env", &image)?;
            self.beside(&log, "setup_env.sh", &script_file(&environment.script))?;
            let text = serde_json::to_string_pretty(lock).unwrap_or_default();
            self.beside(&log, "lock.json", &(text + "\n"))?;
            let below = self.stack(std::slice::from_ref(python))?;
            let (directory, stage) = self.stage(level, below.directories())?;
            let means = self.means(&log, settings.network);
            let tree = environment::packages(interpreter, lock, &stage, &means)?;
            Ok((tree, directory))
        })
    }

    /// A name for the content of an environment on this base.
    fn environment_key(&self, environment: &Environment, python: &str) -> String {
        let base = self.base.digest.to_string();
        key_of(&["environment", &base, python, &environment.lock.key()])
    }

    /// The parts of a history, oldest first.
    fn history(
        &self,
        repository: &Repository,
        checkout: &Checkout,
    ) -> Result<Vec<Arc<Made>>, BuildError> {
        let parts = checkout.parts().into_iter();
        let made = parts.map(|part| {
            self.once(&history_key(&part), "history", || {
                let level = Level::Instance;
                let (directory, stage) = self.stage(level, &[])?;
                let root = stage.open().map_err(at(level, "pack the history"))?;
                part.write(repository, &root)
                    .map_err(at(level, "pack the history"))?;
                let found = super::changes::changes(&stage.own(), &[])
                    .map_err(at(level, "pack the history"))?;
                Ok((found.tree, directory))
            })
        });
        made.collect()
    }

    fn instance(
        &self,
        order: &Order,
        repository: &Repository,
        checkout: &Checkout,
        below: &[Arc<Made>],
        script_seconds: &mut f64,
    ) -> Result<Arc<Made>, BuildError> {
        let level = Level::Instance;
        let settings = &self.settings;
        let packages = setup_script::pre_install(&order.specs).system_packages;
        if !packages.is_empty() {
            let lacks = Base::lacks(&self.base_root()?, &packages);
            if !lacks.is_empty() {
                let why = format!("its pre_install needs {} from the system", lacks.join(", "));
                return Err(
                    BuildError::new(Level::Base, "look for packages", why).hinted(
                        "take a --base-image that has them: only root can install them later",
                    ),
                );
            }
        }
        let script = setup_script::setup_repo(&order.specs);
        let base = self.base.digest.to_string();
        let keys = below.iter().map(|made| made.key.as_str());
        let checkout_key = checkout.key();
        let mut parts = vec!["instance", &base, &order.row.repo, &checkout_key, &script];
        parts.extend(keys);
        let name = names::instance_image(
            None,
            settings.architecture,
            &order.row.instance_id,
            &settings.tag,
        );
        self.once(&key_of(&parts), "instance", || {
            let log = self.log("instances", &name)?;
            self.beside(&log, "setup_repo.sh", &script)?;
            let history = checkout.parts().len();
            let parts = below.iter().take(history);
            let parts: Vec<Stack> = parts
                .map(|part| self.alone(part))
                .collect::<Result<_, _>>()?;
            let places = parts.iter().filter_map(|part| part.directories().last());
            let places: Vec<PathBuf> = places.cloned().collect();
            let levels: Vec<Arc<Made>> = below.iter().rev().cloned().collect();
            let lower = self.stack(&levels)?;
            let (directory, stage) = self.stage(level, lower.directories())?;
            let step = "check out the repository";
            let root = stage.open().map_err(at(level, step))?;
            checkout
                .write(repository, &root, &places)
                .map_err(at(level, step))?;
            let date = repository
                .date(&checkout.commit)
                .map_err(at(level, "look at the repository"))?;
            let started = Instant::now();
            let means = self.means(&log, settings.network);
            let tree = instance::set_up(&stage, &script, date, &means)?;
            *script_seconds = started.elapsed().as_secs_f64();
            Ok((tree, directory))
        })
    }

    fn patches(&self, order: &Order, below: &[Arc<Made>]) -> Result<Arc<Made>, BuildError> {
        let level = Level::Instance;
        let model = order.model_patch.as_deref().unwrap_or_default();
        let test = order.row.test_patch.as_deref().unwrap_or_default();
        let patches = order.patches();
        let mut parts = vec!["patches", model, test];
        parts.extend(below.iter().map(|made| made.key.as_str()));
        let name = names::instance_image(
            None,
            self.settings.architecture,
            &order.row.instance_id,
            &self.settings.tag,
        );
        self.once(&key_of(&parts), "patches", || {
            let log = self.log("instances", &format!("{name}.patches"))?;
            let levels: Vec<Arc<Made>> = below.iter().rev().cloned().collect();
            let lower = self.stack(&levels)?;
            let (directory, stage) = self.stage(level, lower.directories())?;
            let means = self.means(&log, Network::None);
            let tree = instance::apply_patches(&stage, &patches, &means)?;
            Ok((tree, directory))
        })
    }
}

/// Where programs are looked for in an image.
fn path_of(base: &Base) -> String {
    let process = Process::of(&base.config).unwrap_or_default();
    let mut variables = process.environment.iter().rev();
    let path = variables.find_map(|variable| variable.strip_prefix("PATH="));
    path.filter(|path| !path.is_empty())
        .unwrap_or(DEFAULT_PATH)
        .to_owned()
}

/// Packages by name only, as a flag takes them.
fn flag_of(packages: &[String]) -> String {
    let names = packages
        .iter()
        .map(|line| line.split('=').next().unwrap_or(line));
    names.collect::<Vec<_>>().join(",")
}

/// Where URLs are cloned to.
#[must_use]
pub(crate) fn clones(cache_dir: Option<&Path>, work_dir: &Path) -> PathBuf {
    cache_dir.unwrap_or(work_dir).join("repositories")
}

/// A name for a part of a history.
fn history_key(part: &Part) -> String {
    key_of(&["history", &part.key()])
}

/// The layer of a part of a history, where an earlier run has left it.
#[must_use]
pub(crate) fn known_history(cache: &Cache, part: &Part) -> Option<KeptLayer> {
    kept::find(cache, &history_key(part))
}

/// A name for what some parts come to.
fn key_of(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(json!([VERSION, parts]).to_string()))
}
