//! A recipe's lock as a file: made, brought up to date, and read back.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::lock::{self, Changes, Lock};
use super::locking::{self, Locked, LockingError, Means, PythonMeans};
use super::python::PackageName;
use super::recipe::Recipe;
use super::session::Session;
use ohoci_config::ConfigError;
use ohoci_config::error::did_you_mean;

/// A lock that was made.
#[derive(Clone, Debug)]
pub struct NewLock {
    /// Its file.
    pub path: PathBuf,
    /// The lock.
    pub lock: Lock,
    /// How it differs from the one before.
    pub changes: Changes,
    /// Whether the file was written; it is not where nothing changed.
    pub written: bool,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Why there is no lock to work with.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read, or holds no lock.
    #[error("cannot use the lock: {0}")]
    Unusable(#[source] ConfigError),
    /// The recipe has none.
    #[error("there is no lock {}: nothing was locked yet", .0.display())]
    Absent(PathBuf),
    /// The recipe asks for something else by now.
    #[error("{} is not the lock of its recipe any longer: {}", path.display(), reasons.join("\n"))]
    Stale {
        /// The lock.
        path: PathBuf,
        /// What has changed.
        reasons: Vec<String>,
    },
    /// Packages were to be updated where nothing is locked.
    #[error("there is no lock yet that could be updated")]
    NothingToUpdate,
    /// A package that was to be updated is not in the lock.
    #[error("{name} is not in the lock")]
    NotLocked {
        /// The package.
        name: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// The recipe does not resolve.
    #[error(transparent)]
    Resolve(#[from] LockingError),
    /// A file cannot be written: the lock, or one of npm's own.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        error: io::Error,
    },
}

/// Resolves a recipe to names, versions, sizes and digests, and writes them down beside it. With
/// `update`, everything else stays as it was locked.
///
/// # Errors
/// See [`LockError`].
pub async fn lock(
    recipe: &Recipe,
    update: &[String],
    session: &Session<'_>,
) -> Result<NewLock, LockError> {
    let path = recipe.lock_path();
    let old = match lock::read(&path) {
        // A lock that is made anew may have been damaged before.
        Err(_) if update.is_empty() => None,
        read => read.map_err(LockError::Unusable)?,
    };
    let update = names(update, old.as_ref())?;
    let frozen = old.as_ref().filter(|_| !update.is_empty());
    let needs_npm = recipe.features.iter().any(|feature| feature.npm.is_some());
    let needs_python = recipe.features.iter().any(|one| one.python.is_some());
    let indexes = match needs_python {
        true => session.python_indexes().or_default_of_tools().await,
        false => session.python_indexes(),
    };
    let means = Means {
        fetcher: &session.fetcher(),
        debian: &session.debian_hosts(),
        python: PythonMeans {
            uv: Path::new("uv"),
            indexes: &indexes,
            work_dir: session.work_dir,
        },
        images: session.images(),
        npm: &session.npm_registries(needs_npm).await,
        conda: session.conda(),
        now: session.now,
    };
    let Locked {
        lock,
        notes,
        lockfiles,
    } = locking::lock(recipe, frozen, &update, means).await?;
    let changes = Changes::between(old.as_ref(), &lock);
    let lock = locking::settle(old, lock);
    for (path, content) in lockfiles {
        ohoci_layout::staged::replace(&path, content.as_bytes())
            .map_err(|error| LockError::Write { path, error })?;
    }
    match lock::write(&path, &lock) {
        Ok(written) => Ok(NewLock {
            path,
            lock,
            changes,
            written,
            notes,
        }),
        Err(error) => Err(LockError::Write { path, error }),
    }
}

/// The lock of a recipe, which must be there and be the recipe's.
///
/// # Errors
/// [`LockError::Unusable`], [`LockError::Absent`] and [`LockError::Stale`].
pub fn current(recipe: &Recipe) -> Result<Lock, LockError> {
    let path = recipe.lock_path();
    let Some(lock) = lock::read(&path).map_err(LockError::Unusable)? else {
        return Err(LockError::Absent(path));
    };
    let reasons = lock::stale(recipe, &lock);
    match reasons.is_empty() {
        true => Ok(lock),
        false => Err(LockError::Stale { path, reasons }),
    }
}

/// The lock of a recipe, which is made where there is none that is the recipe's, if it may be; `made` is
/// told of it.
///
/// # Errors
/// See [`LockError`].
pub async fn current_or_new(
    recipe: &Recipe,
    may_make: bool,
    session: &Session<'_>,
    made: &(dyn Fn(&NewLock) + Send + Sync),
) -> Result<Lock, LockError> {
    match current(recipe) {
        Err(_) if may_make => {
            let new = Box::pin(lock(recipe, &[], session)).await?;
            made(&new);
            Ok(new.lock)
        }
        found => found,
    }
}

/// Packages to update, each of which must be in the lock, as the lock spells them.
fn names(update: &[String], old: Option<&Lock>) -> Result<BTreeSet<String>, LockError> {
    let Some(old) = old else {
        return match update.is_empty() {
            true => Ok(BTreeSet::new()),
            false => Err(LockError::NothingToUpdate),
        };
    };
    let debian = old.debian.iter().map(|package| package.name.as_str());
    let python = old.python.iter().map(|package| package.name.as_str());
    let sources = old.source.iter().map(|source| source.name.as_str());
    let known: BTreeSet<&str> = debian.chain(python).chain(sources).collect();
    let spelt = |name: &String| {
        if known.contains(name.as_str()) {
            return Ok(name.clone());
        }
        // Names of Python packages have many spellings.
        let normal = PackageName::parse(name).map(|name| name.to_string());
        normal
            .filter(|name| known.contains(name.as_str()))
            .ok_or_else(|| LockError::NotLocked {
                name: name.clone(),
                hint: did_you_mean(name, known.iter().copied()),
            })
    };
    update.iter().map(spelt).collect()
}
