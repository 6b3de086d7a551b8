//! From a recipe to an image of its layers: locked, downloaded, assembled, looked over, packed and
//! pushed.

mod compiled;
mod directory;
mod error;
mod kept;
mod packing;

pub use error::BuildError;
use kept::Keys;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assemble::{Assembled, assemble};
use super::audit::Audit;
use super::fetch::Fetcher;
use super::fetching::Missing;
use super::lock::{Lock, LockedFile};
use super::locked::{self, NewLock, current_or_new};
use super::recipe::{Feature, Recipe, Selection};
use super::sbom;
use super::session::Session;
use ohoci_compose::Event;
use ohoci_compose::attach::{self, Attached, attach};
use ohoci_compose::compose::compose;
use ohoci_compose::job::Job;
use ohoci_compose::local::LocalLayer;
use ohoci_compose::read::Choice;
use ohoci_compose::report::{ComposeReport, Cost};
use ohoci_image::config_patch::{ConfigPatch, merged};
use ohoci_image::media_type::Compression;
use ohoci_image::referrer::Artifact;
use ohoci_image::timestamp::Timestamp;
use ohoci_image::{Platform, Reference, annotation};
use ohoci_sandbox::{Limiter, Limits};

/// What is built of a recipe, and where it goes.
#[derive(Clone, Debug)]
pub struct Build<'a> {
    /// The recipe, all of it: its lock is that of all its features.
    pub recipe: &'a Recipe,
    /// The features that are built.
    pub selection: Selection,
    /// The platforms that it is built for, which are the recipe's.
    pub platforms: Vec<Platform>,
    /// Where the image is pushed.
    pub push: Vec<Reference>,
    /// Directories that get what is below the prefix.
    pub directories: Vec<PathBuf>,
    /// Fail when the lock is not that of the recipe, rather than make it first.
    pub locked: bool,
    /// Use no network for packages: all of them are in the cache. Makes no lock either.
    pub offline: bool,
    /// Attach bills of materials to the image of each platform.
    pub attach_sbom: bool,
    /// How layers are compressed.
    pub compression: Compression,
    /// Whether single files can be read from them in a registry ([`ohoci_layer::PackOptions::seekable`]).
    pub seekable: bool,
    /// The level of that; `None` is the default of each.
    pub level: Option<u32>,
    /// The time that everything in the image has, in seconds since 1970.
    pub created: Option<i64>,
    /// Threads that read packages and compress. They have no influence on the result.
    pub threads: NonZeroUsize,
    /// Of what runs, which is the interpreter that compiles modules.
    pub limits: Limits,
    /// What tells this program from others, which may make other layers of the same recipe: its version and
    /// commit. Layers are kept in the cache, each feature's by itself, and count where all that they were made
    /// from is the same, this as well. `None` keeps none.
    pub maker: Option<String>,
}

/// Is told what a build does besides moving bytes.
pub trait BuildObserver: Debug + Send + Sync {
    /// The recipe had no lock of its own, or what it named was gone: this one was made and written.
    fn locked(&self, lock: &NewLock);
    /// Mirrors have moved on from what was locked, and what they have now is locked instead.
    fn gone(&self, missing: &Missing);
    /// Something is about to run, within these limits.
    fn limited(&self, limiter: &Limiter);
}

/// What a build came to.
#[derive(Debug)]
pub struct Built {
    /// What was built of the recipe.
    pub recipe: Recipe,
    /// What it was built from.
    pub lock: Lock,
    /// Its layers, for each platform.
    pub platforms: Vec<BuiltPlatform>,
    /// Where the image is, and how it came there.
    pub report: ComposeReport,
    /// The bills of materials that were attached.
    pub attached: Vec<Attached>,
}

impl Built {
    /// Its bills of materials: an SPDX and a CycloneDX document for each platform.
    #[must_use]
    pub fn bills_of_materials(&self) -> Vec<(Platform, Artifact)> {
        let platforms = self.platforms.iter().map(|one| &one.platform);
        sbom::documents(&self.recipe, &self.lock, platforms)
    }
}

/// The layers of one platform.
#[derive(Debug)]
pub struct BuiltPlatform {
    /// The platform.
    pub platform: Platform,
    /// What an audit of them found: no errors.
    pub audit: Audit,
    /// How many files were edited to work below the prefix.
    pub edits: usize,
    /// The layers, lowest first.
    pub layers: Vec<PackedFeature>,
    /// The features whose layers were in the cache from an earlier build.
    pub kept: BTreeSet<String>,
}

/// A feature's layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackedFeature {
    /// The feature.
    pub feature: String,
    /// The digest of the blob.
    pub digest: String,
    /// The blob's size in bytes.
    pub size: u64,
    /// The size of the tar in bytes.
    pub uncompressed_size: u64,
    /// How many entries it has.
    pub entries: u64,
}

/// Builds a recipe's layers from its lock and pushes them as an image: one for one platform, an index
/// for several. The same lock gives the same digest. Nothing of what is packed runs, but for the
/// interpreter where the recipe asks for compiled modules.
///
/// Needs a runtime with several threads; see [`tokio::task::block_in_place`].
///
/// # Errors
/// See [`BuildError`].
pub async fn build(
    build: &Build<'_>,
    session: &Session<'_>,
    observer: &dyn BuildObserver,
) -> Result<Built, BuildError> {
    let whole = build.recipe;
    if whole.rootfs().is_some() {
        return Err(BuildError::System);
    }
    let recipe = whole.clone().selected(&build.selection)?;
    if build.attach_sbom {
        build.push.iter().try_for_each(attach::check)?;
    }
    if !build.directories.is_empty() && build.platforms.len() > 1 {
        return Err(BuildError::Platforms);
    }
    let compiling = compiled::platform(&recipe, &build.platforms)?;
    let may_make = !build.locked && !build.offline;
    let tell = |made: &NewLock| observer.locked(made);
    let mut lock = current_or_new(whole, may_make, session, &tell).await?;
    let fetcher = session.fetcher();
    let first = Work {
        build,
        recipe: &recipe,
        lock: &lock,
        fetcher: &fetcher,
        session,
        observer,
    };
    let is_kept = tokio::task::block_in_place(|| first.is_kept())?;
    if !build.offline && !is_kept {
        let needed: Vec<Platform> = build.platforms.iter().chain(&compiling).cloned().collect();
        let fetched = session.fetch_with(&fetcher, &recipe, &lock, &needed).await;
        if let Err(missing) = fetched {
            lock = newer(build, session, observer, missing).await?;
            session
                .fetch_with(&fetcher, &recipe, &lock, &needed)
                .await?;
        }
    }
    let work = Work {
        build,
        recipe: &recipe,
        lock: &lock,
        fetcher: &fetcher,
        session,
        observer,
    };
    let (platforms, layers) = work.platforms(compiling.as_ref()).await?;
    for directory in &build.directories {
        tokio::task::block_in_place(|| work.write_directory(&layers, directory))?;
    }
    let job = job(build, &recipe, layers, session);
    let report = Box::pin(compose(&job, session.resolver, &session.observer)).await?;
    let mut built = Built {
        recipe,
        lock,
        platforms,
        report,
        attached: Vec::new(),
    };
    if build.attach_sbom {
        let job = attach::Job {
            image: built.report.digest.clone(),
            places: build.push.clone(),
            artifacts: built.bills_of_materials(),
        };
        built.attached = attach(&job, session.resolver, &session.observer).await?;
        let statistics = session.resolver.client.statistics();
        built.report.cost = Cost::new(&statistics, Duration::ZERO);
    }
    Ok(built)
}

/// A lock of what mirrors have now, where all that is wrong with one is that they have moved on. What was
/// there is not lost: the old one is in whatever keeps the recipe's versions.
async fn newer(
    build: &Build<'_>,
    session: &Session<'_>,
    observer: &dyn BuildObserver,
    missing: Missing,
) -> Result<Lock, BuildError> {
    if build.locked || !missing.is_gone() {
        return Err(missing.into());
    }
    let made = Box::pin(locked::lock(build.recipe, &[], session)).await?;
    if !made.written {
        return Err(missing.into());
    }
    observer.gone(&missing);
    observer.locked(&made);
    Ok(made.lock)
}

/// A build whose packages are there.
struct Work<'a> {
    build: &'a Build<'a>,
    recipe: &'a Recipe,
    lock: &'a Lock,
    fetcher: &'a Fetcher,
    session: &'a Session<'a>,
    observer: &'a dyn BuildObserver,
}

impl Work<'_> {
    /// The layers of all platforms. `compiling` is the platform whose programs compile modules, when
    /// it is not among them.
    async fn platforms(
        &self,
        compiling: Option<&Platform>,
    ) -> Result<(Vec<BuiltPlatform>, Vec<LocalLayer>), BuildError> {
        let mut here: Option<Assembled> = None;
        let mut built = Vec::new();
        let mut layers = Vec::new();
        for platform in &self.build.platforms {
            let keys = tokio::task::block_in_place(|| self.keys(platform))?;
            let kept = keys.as_ref().and_then(|keys| self.kept(platform, keys));
            let (one, local) = match kept {
                Some(kept) => kept,
                None => {
                    if here.is_none() {
                        here = compiling
                            .map(|platform| self.assembled(platform, None))
                            .transpose()?;
                    }
                    self.made(platform, here.as_ref(), keys.as_ref()).await?
                }
            };
            built.push(one);
            layers.extend(local);
        }
        Ok((built, layers))
    }

    /// Whether the layers of all platforms are kept.
    fn is_kept(&self) -> Result<bool, BuildError> {
        for platform in &self.build.platforms {
            let keys = self.keys(platform)?;
            if keys.and_then(|keys| self.kept(platform, &keys)).is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the layers of one platform, as far as they are not kept, and keeps them under `keys`.
    async fn made(
        &self,
        platform: &Platform,
        here: Option<&Assembled>,
        keys: Option<&Keys>,
    ) -> Result<(BuiltPlatform, Vec<LocalLayer>), BuildError> {
        let mut assembled = self.assembled(platform, keys)?;
        if !assembled.audit.passed() {
            return Err(BuildError::Audit {
                platform: Box::new(platform.clone()),
                audit: Box::new(assembled.audit),
            });
        }
        let here = here.filter(|_| !compiled::runs_here(platform));
        let packing = self.start_packing(&assembled, keys)?;
        let compiled = self.compile(&mut assembled, here).await;
        let ahead = packing.finished().await?;
        compiled?;
        let packed = tokio::task::block_in_place(|| self.packed(assembled, ahead, keys));
        let (one, local, are_kept) = packed?;
        if let Some(keys) = keys.filter(|_| are_kept) {
            self.keep(keys, &one, &local);
        }
        Ok((one, local))
    }

    /// The trees of one platform's layers; those that are kept under `keys` are read back.
    fn assembled(&self, platform: &Platform, keys: Option<&Keys>) -> Result<Assembled, BuildError> {
        self.step(format!("assembling {platform}"));
        let cached = |file: &LockedFile| self.fetcher.cached(file);
        let earlier = |feature: &Feature| self.earlier(keys?, feature);
        let (work_dir, threads) = (self.session.work_dir, self.build.threads.get());
        let (recipe, lock) = (self.recipe, self.lock);
        let assembled = tokio::task::block_in_place(|| {
            assemble(recipe, lock, platform, &cached, &earlier, work_dir, threads)
        });
        Ok(assembled?)
    }

    fn step(&self, what: String) {
        self.session.observer.event(&Event::Step(what));
    }
}

fn job(build: &Build<'_>, recipe: &Recipe, layers: Vec<LocalLayer>, session: &Session<'_>) -> Job {
    let patches = recipe.features.iter().map(|feature| &feature.patch);
    let patch = merged(patches.chain([&recipe.patch]));
    // A patch is lists and strings: nothing that JSON could not hold.
    let text = serde_json::to_string(&patch).unwrap_or_default();
    let created = build.created.map(Timestamp::from_epoch);
    Job {
        layers,
        push: build.push.clone(),
        choice: Choice::Platforms(build.platforms.clone()),
        patch: ConfigPatch {
            labels: [(annotation::PATCH.to_owned(), Some(text))].into(),
            ..ConfigPatch::default()
        },
        created: created.map(|created| created.to_string()),
        ..Job::on(Reference::Scratch, session.work_dir.to_owned())
    }
}
