//! A feature's Python packages as a virtual environment.

use std::path::PathBuf;

use super::AssembleError;
use super::sources::globs;
use crate::archive::Spool;
use crate::lock::{Lock, LockedFile};
use crate::locking::python::{minor, target};
use crate::place::Prefix;
use crate::python::sdist::{self, BuildScript};
use crate::python::{Environment, Layout, wheel};
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

/// Puts a feature's locked wheels together, below the prefix. Nothing of them is run; programs run
/// with `-E`, so that a base's `PYTHONPATH` does not reach them, and stays for their children.
pub(super) fn environment(
    feature: &Feature,
    python: &Python,
    lock: &Lock,
    platform: &Platform,
    prefix: &Prefix,
    cached: &(dyn Fn(&LockedFile) -> Option<PathBuf> + Sync),
    spool: &Spool,
) -> Result<Built, AssembleError> {
    let name = feature.name.get_ref().to_string();
    let fail = |why: String| AssembleError::Python {
        feature: name.clone(),
        why,
    };
    let minor = minor(python).ok_or_else(|| {
        fail(format!(
            "{:?} is no version of Python such as 3.13",
            python.version
        ))
    })?;
    let target = target(minor, platform).ok_or_else(|| fail("no wheels fit".to_owned()))?;
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
    let chooser = target.chooser();
    let mut packages = Vec::new();
    for (package, file) in lock.python_files(&name, platform) {
        let path = cached(file).ok_or_else(|| AssembleError::NotCached {
            package: format!("{} {}", package.name, package.version),
        })?;
        let open = || -> Result<fs_err::File, AssembleError> {
            let mut input = fs_err::File::open(&path).map_err(|error| fail(error.to_string()))?;
            let found = super::sources::digest_of(&mut input, &file.digest)
                .map_err(|error| fail(error.to_string()))?;
            if found != file.digest {
                return Err(fail(format!("{} hashes to {found}", file.path)));
            }
            Ok(input)
        };
        let file_name = file.path.rsplit('/').next().unwrap_or_default();
        let read = if file_name.ends_with(".whl") {
            wheel::read_file(file_name, open()?, &chooser, spool)
        } else {
            let build_script = BuildScript::left_out(package.without_build_script);
            sdist::read_file(file_name, open()?, build_script, spool)
        };
        let distribution = read.map_err(|error| fail(error.to_string()))?;
        environment
            .add(&distribution, package.requested)
            .map_err(|error| fail(error.to_string()))?;
        packages.push((package.name.clone(), package.version.clone()));
    }
    let tree = environment.finish().map_err(|source| AssembleError::Tree {
        feature: name.clone(),
        source,
    })?;
    Ok(Built { tree, packages })
}

/// `3.13.5` of `3.13.5-2+deb13u1`.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.split(['-', '+', '~']).next().unwrap_or(version)
}
