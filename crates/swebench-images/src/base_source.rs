//! Where the base level comes from: an image that is there, or a recipe of Debian packages, which is
//! assembled first.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::assembled::{AssembledBase, Workshop};
use super::base::Base;
use super::error::{BuildError, Level, at};
use super::observer::Observer;
use super::planned::architecture;
use super::shared_levels::SharedLevels;
use super::stage::Tools;
use super::unpacked::Unpacked;
use ohoci_compose::files::{InstalledPackages, upstream_version};
use ohoci_compose::read::this_machine;
use ohoci_deps::lock::Lock;
use ohoci_deps::recipe::Recipe;
use ohoci_deps::rootfs::{FilesError, files};
use ohoci_deps::{LockError, NewLock, Session, current, current_or_new};
use ohoci_image::{Platform, Reference};
use ohoci_layer::pack::PackOptions;
use ohoci_swebench::names;

/// Where the base level comes from.
#[derive(Clone, Debug)]
pub enum BaseSource {
    /// An image that is there.
    Image(Reference),
    /// A recipe of a system of its own.
    Recipe(Box<Recipe>),
}

/// The base, as far as a plan can say.
#[derive(Debug)]
pub enum PlannedBase {
    /// An image that is there.
    There(Box<Base>),
    /// One that is still to be assembled, and what it is made of.
    Recipe {
        /// As a plan tells it.
        plan: Value,
        /// The packages that it will have, where they are locked.
        packages: Option<InstalledPackages>,
    },
}

/// Why there is no base.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The recipe's platforms do not have this machine's.
    #[error("{} is not for this machine: its platforms do not have {machine}", path.display())]
    OtherMachine {
        /// The recipe.
        path: PathBuf,
        /// This machine.
        machine: String,
    },
    /// The image cannot be read.
    #[error("{}: {}", .0.what(), .0.why())]
    Image(ohoci_store::Error),
    /// The recipe has no lock.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The packages' files cannot be had.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The packages do not become an image.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// What a base is found and made with.
#[derive(Debug)]
pub struct BaseMeans<'a> {
    /// What packages are locked and downloaded with.
    pub session: &'a Session<'a>,
    /// Unpacked layers.
    pub(crate) unpacked: &'a Unpacked,
    /// Where levels are shared with other machines.
    pub levels: Option<&'a SharedLevels>,
    /// Whether a base that is there already is left there.
    pub leaves_base: bool,
    /// Whether no network may be used for packages.
    pub offline: bool,
    /// How layers are compressed.
    pub packing: PackOptions,
    /// Where assembled bases are kept.
    pub bases: PathBuf,
    /// Where build logs are written.
    pub logs: &'a Path,
    /// The tag in images' names.
    pub tag: &'a str,
}

/// Where assembled bases are kept.
#[must_use]
pub fn bases(cache_dir: Option<&Path>, work_dir: &Path) -> PathBuf {
    cache_dir.unwrap_or(work_dir).join("swebench/bases")
}

impl BaseSource {
    /// Finds the base for a plan: nothing is downloaded and nothing is built.
    ///
    /// # Errors
    /// When it cannot be read, or is for another machine.
    pub async fn plan(&self, means: &BaseMeans<'_>) -> Result<PlannedBase, BaseError> {
        let recipe = match self {
            Self::Image(reference) => return means.open(reference).await.map(PlannedBase::There),
            Self::Recipe(recipe) => recipe,
        };
        let platform = platform(recipe)?;
        let Ok(lock) = current(recipe) else {
            let plan = json!({
                "recipe": recipe.name.as_str(),
                "locked": false,
            });
            return Ok(PlannedBase::Recipe {
                plan,
                packages: None,
            });
        };
        let base = AssembledBase::new(recipe, &lock, platform, &means.packing, &means.bases);
        if let Some(reference) = base.found() {
            return means.open(&reference).await.map(PlannedBase::There);
        }
        let (packages, size) = size(recipe, &lock, &base.platform);
        let plan = json!({
            "recipe": recipe.name.as_str(),
            "locked": true,
            "key": base.key(),
            "packages": packages,
            "downloadSize": size,
        });
        let platform = base.platform.to_string();
        let packages = lock.debian.iter();
        let packages = packages.filter(|package| package.file.of(&platform).is_some());
        Ok(PlannedBase::Recipe {
            plan,
            packages: Some(InstalledPackages {
                glibc: packages
                    .clone()
                    .find(|package| package.name == "libc6")
                    .map(|package| upstream_version(&package.version).to_owned()),
                names: packages.map(|package| package.name.clone()).collect(),
            }),
        })
    }

    /// Finds the base, or assembles it. To be called within a runtime of several threads.
    ///
    /// # Errors
    /// See [`BaseError`].
    pub async fn build(
        &self,
        means: &BaseMeans<'_>,
        tools: &Tools,
        observer: &dyn Observer,
    ) -> Result<Base, BaseError> {
        let recipe = match self {
            Self::Image(reference) => {
                let base = means.open(reference).await?;
                if means.leaves_base {
                    means.share(base.digest.hex(), &base).await?;
                }
                return Ok(*base);
            }
            Self::Recipe(recipe) => recipe,
        };
        let platform = platform(recipe)?;
        let session = means.session;
        let tell = |made: &NewLock| observer.locked(made);
        let lock = current_or_new(recipe, !means.offline, session, &tell).await?;
        let base = AssembledBase::new(recipe, &lock, platform, &means.packing, &means.bases);
        let mut found = base.found();
        if found.is_none() {
            found = means.fetched(&base).await?;
        }
        let reference = match found {
            Some(reference) => reference,
            None => {
                observer.assembling(size(recipe, &lock, &base.platform).0);
                let files = files(recipe, &lock, &base.platform, means.offline, session).await?;
                let workshop = Workshop {
                    tools,
                    work_dir: session.work_dir,
                    log: &means.log(&lock, &base)?,
                    packing: means.packing,
                    unpacked: means.unpacked,
                };
                Box::pin(base.build(files, &workshop, session.resolver)).await?
            }
        };
        let opened = means.open(&reference).await?;
        means.share(base.key(), &opened).await?;
        Ok(*opened)
    }
}

impl BaseMeans<'_> {
    async fn open(&self, reference: &Reference) -> Result<Box<Base>, BaseError> {
        let base = Base::open(self.session.resolver, reference, None).await;
        base.map(Box::new).map_err(BaseError::Image)
    }

    /// Leaves the base where machines share levels, so that its layers are uploaded once.
    async fn share(&self, key: &str, base: &Base) -> Result<(), BaseError> {
        let Some(levels) = self.levels else {
            return Ok(());
        };
        let session = self.session;
        let shared = async {
            let found = levels.find_base(key, session.resolver).await?;
            if found.is_none() {
                let image = base.pinned();
                let put = levels.put_base(key, &image, session.resolver, session.work_dir);
                put.await?;
            }
            let blobs = base.layers.iter().map(|layer| &layer.digest);
            levels.note(session.resolver, blobs);
            Ok(())
        };
        shared.await.map_err(BaseError::Image)
    }

    /// The base as another machine has assembled it.
    async fn fetched(&self, base: &AssembledBase<'_>) -> Result<Option<Reference>, BaseError> {
        let Some(levels) = self.levels else {
            return Ok(None);
        };
        let session = self.session;
        let found = levels.find_base(base.key(), session.resolver).await;
        let Some(found) = found.map_err(BaseError::Image)? else {
            return Ok(None);
        };
        let kept = base.keep_copy(&found, session.work_dir, session.resolver);
        Ok(Some(kept.await?))
    }

    /// A new log in upstream's place, with the packages beside it.
    fn log(&self, lock: &Lock, base: &AssembledBase<'_>) -> Result<PathBuf, BuildError> {
        let image = names::base_image("py", architecture(), None, self.tag);
        let directory = self.logs.join("base").join(names::log_directory(&image));
        let log = directory.join("build_image.log");
        let platform = base.platform.to_string();
        let packages = lock.debian.iter();
        let list: String = packages
            .filter(|package| package.file.of(&platform).is_some())
            .map(|package| format!("{} {}\n", package.name, package.version))
            .collect();
        fs_err::create_dir_all(&directory)
            .and_then(|()| fs_err::write(&log, ""))
            .and_then(|()| fs_err::write(directory.join("packages.txt"), list))
            .map_err(at(Level::Base, "write logs"))?;
        Ok(log)
    }
}

/// The platform of this machine, which the recipe must have.
fn platform(recipe: &Recipe) -> Result<Platform, BaseError> {
    let machine = this_machine();
    let mut platforms = recipe.platforms.iter();
    let found = platforms
        .find(|one| one.os == machine.os && one.architecture == machine.architecture)
        .cloned();
    found.ok_or_else(|| BaseError::OtherMachine {
        path: recipe.source.path().to_owned(),
        machine: machine.to_string(),
    })
}

/// How many packages there are to download, and their bytes.
fn size(recipe: &Recipe, lock: &Lock, platform: &Platform) -> (usize, u64) {
    let features = recipe.features.iter();
    let sizes: Vec<u64> = features
        .flat_map(|feature| lock.debian_files(feature.name.get_ref().as_str(), platform))
        .map(|(_, file)| file.size)
        .collect();
    (sizes.len(), sizes.iter().sum())
}
