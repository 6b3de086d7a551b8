//! A feature's Python packages as a virtual environment.

use std::path::PathBuf;
use std::sync::Arc;

use super::AssembleError;
use super::sources::globs;
use crate::archive::Spool;
use crate::lock::{Lock, LockedFile, PythonPackage};
use crate::locking::python::{minor, target};
use crate::place::Prefix;
use crate::python::sdist::{self, BuildScript};
use crate::python::tags::Chooser;
use crate::python::{Distribution, Environment, Layout, wheel};
use crate::recipe::{Feature, Python};
use ohoci_image::Platform;
use ohoci_layer::{LayerPath, Tree};

/// Where Debian's interpreters are, below the prefix; see
/// [`destination`](crate::place::destination).
const INTERPRETERS: &str = "micromamba/bin";

/// An environment and the packages in it.
pub(super) struct Built {
    pub(super) tree: Tree,
    /// Name and version of each.
    pub(super) packages: Vec<(String, String)>,
}

/// A locked package of a feature: a wheel, or sources that need nothing run.
pub(super) struct Wheel<'a> {
    feature: String,
    package: &'a PythonPackage,
    pub(super) file: &'a LockedFile,
    chooser: Arc<Chooser>,
}

/// A feature's locked packages.
///
/// # Errors
/// When its version of Python is none that is known, or there is no platform of wheels for the feature's.
pub(super) fn wheels<'a>(
    feature: &Feature,
    python: &Python,
    lock: &'a Lock,
    platform: &Platform,
) -> Result<Vec<Wheel<'a>>, AssembleError> {
    let name = feature.name.get_ref().as_str();
    let target = target(minor_of(name, python)?, platform)
        .ok_or_else(|| failure(name, "no wheels fit".to_owned()))?;
    let chooser = Arc::new(target.chooser());
    let platform = platform.to_string();
    let packages = lock.python.iter().filter(|package| package.feature == name);
    let wheel = |package: &'a PythonPackage| {
        Some(Wheel {
            feature: name.to_owned(),
            package,
            file: package.file.of(&platform)?,
            chooser: Arc::clone(&chooser),
        })
    };
    Ok(packages.filter_map(wheel).collect())
}

impl Wheel<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not in the cache, is not what is locked, or cannot be understood.
    pub(super) fn read(
        &self,
        cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
        spool: &Spool,
    ) -> Result<Distribution, AssembleError> {
        let (package, file) = (self.package, self.file);
        let fail = |why: String| failure(&self.feature, why);
        let path = cached(file).ok_or_else(|| AssembleError::NotCached {
            package: format!("{} {}", package.name, package.version),
        })?;
        let mut input = fs_err::File::open(&path).map_err(|error| fail(error.to_string()))?;
        let found = super::sources::digest_of(&mut input, &file.digest)
            .map_err(|error| fail(error.to_string()))?;
        if found != file.digest {
            return Err(fail(format!("{} hashes to {found}", file.path)));
        }
        let file_name = file.path.rsplit('/').next().unwrap_or_default();
        let read = if file_name.ends_with(".whl") {
            wheel::read_file(file_name, input, &self.chooser, spool)
        } else {
            let build_script = BuildScript::left_out(package.without_build_script);
            sdist::read_file(file_name, input, build_script, spool)
        };
        read.map_err(|error| fail(error.to_string()))
    }
}

/// Puts a feature's locked packages together, below the prefix, as they were read in the order in which they are locked.
/// Nothing of them is run; programs run with `-E`, so that a base's `PYTHONPATH` does not reach them, and stays for their
/// children.
pub(super) fn environment(
    feature: &Feature,
    python: &Python,
    lock: &Lock,
    platform: &Platform,
    prefix: &Prefix,
    distributions: &[Distribution],
) -> Result<Built, AssembleError> {
    let name = feature.name.get_ref().to_string();
    let fail = |why: String| failure(&name, why);
    let minor = minor_of(&name, python)?;
    let interpreter = format!("python3.{minor}");
    let version = lock
        .debian
        .iter()
        .filter(|package| package.file.of(&platform.to_string()).is_some())
        .find(|package| package.name == format!("{interpreter}-minimal"))
        .map(|package| upstream(&package.version).to_owned())
        .ok_or_else(|| {
            fail(format!(
                "no feature brings Debian's {interpreter}-minimal, the interpreter"
            ))
        })?;
    let root =
        LayerPath::parse(python.target.as_bytes()).map_err(|source| AssembleError::Path {
            feature: name.clone(),
            path: python.target.clone(),
            source,
        })?;
    let shebang = format!("{prefix}/{}/bin/python -E", python.target);
    let layout = Layout::new(root, minor, &shebang);
    let home = format!("{prefix}/{INTERPRETERS}");
    let mut environment = Environment::new(layout, &home, &version).without(
        &globs(feature, &python.drop)?,
        &globs(feature, &python.keep)?,
    );
    let mut packages = Vec::new();
    let locked = lock.python_files(&name, platform);
    for ((package, _), distribution) in locked.zip(distributions) {
        environment
            .add(distribution, package.requested)
            .map_err(|error| fail(error.to_string()))?;
        packages.push((package.name.clone(), package.version.clone()));
    }
    let tree = environment.finish().map_err(|source| AssembleError::Tree {
        feature: name.clone(),
        source,
    })?;
    Ok(Built { tree, packages })
}

fn minor_of(feature: &str, python: &Python) -> Result<u32, AssembleError> {
    minor(python).ok_or_else(|| {
        let why = format!("{:?} is no version of Python such as 3.13", python.version);
        failure(feature, why)
    })
}

fn failure(feature: &str, why: String) -> AssembleError {
    AssembleError::Python {
        feature: feature.to_owned(),
        why,
    }
}

/// `3.13.5` of `3.13.5-2+deb13u1`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['-', '+', '~']).next().unwrap_or(version)
}
