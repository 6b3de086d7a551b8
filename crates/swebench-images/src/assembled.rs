//! The base level made from Debian packages: their files, and over them what their maintainer
//! scripts do, which run in a sandbox without a network.

mod configure;
mod leavings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::error::{BuildError, Level, at};
use super::kept;
use super::stage::{Stage, Tools};
use super::unpacked::Unpacked;
use ohoci_compose::Observer;
use ohoci_compose::compose::compose;
use ohoci_compose::copy;
use ohoci_compose::job::Job;
use ohoci_compose::local::LocalLayer;
use ohoci_compose::read::Choice;
use ohoci_compose::resolver::Resolver;
use ohoci_compose::watch::Unwatched;
use ohoci_deps::lock::Lock;
use ohoci_deps::recipe::{Feature, Recipe};
use ohoci_deps::rootfs::RootFiles;
use ohoci_image::config_patch::{ConfigPatch, merged};
use ohoci_image::{Platform, Reference};
use ohoci_layer::Tree;
use ohoci_layer::pack::PackOptions;
use ohoci_sandbox::RemovedDirectory;
use ohoci_store::cache::Cache;

/// The version of the keys: it changes when equal input gives other layers.
const VERSION: u32 = 2;
/// What the image is called in the layout that it is kept in.
const TAG: &str = "base";

/// A base that packages come to.
#[derive(Debug)]
pub(crate) struct AssembledBase<'a> {
    /// What it is made of.
    pub recipe: &'a Recipe,
    /// For which machines.
    pub platform: Platform,
    /// A name for what it is made from.
    key: String,
    /// Where it is kept: an OCI layout.
    place: PathBuf,
}

/// What it is made with.
#[derive(Debug)]
pub(crate) struct Workshop<'a> {
    /// Programs of this machine.
    pub tools: &'a Tools,
    /// Where files that are made on the way are written.
    pub work_dir: &'a Path,
    /// The build's log.
    pub log: &'a Path,
    /// How layers are compressed.
    pub packing: PackOptions,
    /// Unpacked layers.
    pub unpacked: &'a Unpacked,
}

impl<'a> AssembledBase<'a> {
    /// The base of a recipe of a system; `bases` is where such bases are kept.
    #[must_use]
    pub(crate) fn new(
        recipe: &'a Recipe,
        lock: &Lock,
        platform: Platform,
        packing: &PackOptions,
        bases: &Path,
    ) -> Self {
        let features = recipe.features.iter();
        let files: Vec<_> = features
            .clone()
            .flat_map(|feature| lock.debian_files(feature.name.get_ref().as_str(), &platform))
            .map(|(package, file)| (&package.name, &package.version, file.digest.to_string()))
            .collect();
        let dropped: Vec<&str> = features
            .clone()
            .filter_map(|feature| feature.debian())
            .flat_map(|debian| debian.drop.iter().map(|pattern| pattern.as_str()))
            .collect();
        let key = json!([
            VERSION,
            platform.to_string(),
            files,
            dropped,
            users(recipe),
            patch(recipe),
            format!("{:?} {:?}", packing.compression, packing.level),
        ]);
        let key = hex::encode(Sha256::digest(key.to_string()));
        Self {
            recipe,
            platform,
            place: bases.join(&key),
            key,
        }
    }

    /// A name for what it is made from.
    #[must_use]
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The image, if an earlier run has left it.
    #[must_use]
    pub(crate) fn found(&self) -> Option<Reference> {
        self.place.is_dir().then(|| reference(&self.place).ok())?
    }

    /// Keeps what another machine has assembled, byte for byte.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub(crate) async fn keep_copy(
        &self,
        from: &Reference,
        work_dir: &Path,
        resolver: &Resolver,
    ) -> Result<Reference, BuildError> {
        let staged = self.staged(work_dir)?;
        let job = copy::Job {
            from: from.clone(),
            to: vec![reference(staged.path())?],
            platform: None,
            no_upload: false,
            referrers: false,
            compression: None,
            work_dir: work_dir.to_owned(),
        };
        let observer: Arc<dyn Observer> = Arc::new(Unwatched);
        let copied = Box::pin(copy::copy(&job, &resolver.unsigned(), &observer)).await;
        copied.map_err(|error| BuildError::new(Level::Base, error.what(), error.why()))?;
        self.keep(staged)
    }

    /// Makes the image. To be called within a runtime of several threads.
    ///
    /// # Errors
    /// What step failed, with the log's end where a program did.
    pub(crate) async fn build(
        &self,
        files: RootFiles,
        workshop: &Workshop<'_>,
        resolver: &Resolver,
    ) -> Result<Reference, BuildError> {
        let staged = self.staged(workshop.work_dir)?;
        let layers = tokio::task::block_in_place(|| self.layers(&files, workshop))?;
        self.write(&staged, layers, workshop, resolver).await?;
        self.keep(staged)
    }

    /// A directory beside the image's place.
    fn staged(&self, otherwise: &Path) -> Result<RemovedDirectory, BuildError> {
        let parent = self.place.parent().unwrap_or(otherwise);
        fs_err::create_dir_all(parent)
            .and_then(|()| RemovedDirectory::create_in(parent))
            .map_err(at(Level::Base, "make a directory for the image"))
    }

    fn keep(&self, staged: RemovedDirectory) -> Result<Reference, BuildError> {
        match staged.keep_as(&self.place) {
            // Another run may have been the first.
            Err(error) if !self.place.is_dir() => {
                return Err(at(Level::Base, "keep the image")(error));
            }
            _ => {}
        }
        reference(&self.place)
    }

    /// The layers: packages as they are, and what they change when they are configured.
    fn layers(
        &self,
        files: &RootFiles,
        workshop: &Workshop<'_>,
    ) -> Result<Vec<LocalLayer>, BuildError> {
        let level = Level::Base;
        let directory = || {
            RemovedDirectory::create_in(workshop.work_dir)
                .map_err(at(level, "make a temporary directory"))
        };
        let changed = directory()?;
        let none = Cache::disabled();
        let pack = |name: &str, tree: Tree| {
            kept::make(&none, "", name, tree, &workshop.packing, workshop.work_dir)
                .map_err(at(level, format!("pack {name}")))
        };
        let packages = pack("packages", files.tree.clone())?;
        // They stay unpacked for whatever is built on the base.
        let layers = packages.image_layer().into_iter().collect();
        let stack = workshop.unpacked.stack(layers, "cannot configure packages");
        let stack = Handle::current().block_on(stack)?;
        let stage = Stage::create(changed.path(), stack.directories().to_vec())
            .map_err(at(level, "prepare a sandbox"))?;
        let configuration = configure::Configuration {
            stage: &stage,
            tools: workshop.tools,
            log: workshop.log,
            leaves_out: self.leaves_out(),
        };
        let users = users(self.recipe);
        let configured = configuration.run(files, &users)?;
        let configuration = pack("configuration", configured)?;
        Ok(vec![packages.layer, configuration.layer])
    }

    /// Whether the recipe leaves packages out that others depend on.
    fn leaves_out(&self) -> bool {
        let mut tables = self.recipe.features.iter().filter_map(Feature::debian);
        tables.any(|debian| !debian.exclude.is_empty())
    }

    async fn write(
        &self,
        staged: &RemovedDirectory,
        layers: Vec<LocalLayer>,
        workshop: &Workshop<'_>,
        resolver: &Resolver,
    ) -> Result<(), BuildError> {
        let mut patch = patch(self.recipe);
        let mut label = |name: &str, value: &str| {
            patch.labels.insert(name.to_owned(), Some(value.to_owned()));
        };
        label("ohoci.swebench.base-recipe", self.recipe.name.as_str());
        label("ohoci.swebench.base-key", &self.key);
        let job = Job {
            layers,
            push: vec![reference(staged.path())?],
            choice: Choice::Platforms(vec![self.platform.clone()]),
            patch,
            may_add_nothing: true,
            ..Job::on(Reference::Scratch, workshop.work_dir.to_owned())
        };
        let observer: Arc<dyn Observer> = Arc::new(Unwatched);
        Box::pin(compose(&job, &resolver.unsigned(), &observer))
            .await
            .map(drop)
            .map_err(|error| BuildError::new(Level::Base, error.what(), error.why()))
    }
}

/// What the recipe says of the image's config.
fn patch(recipe: &Recipe) -> ConfigPatch {
    let patches = recipe.features.iter().map(|feature| &feature.patch);
    merged(patches.chain([&recipe.patch]))
}

fn users(recipe: &Recipe) -> Vec<&str> {
    let rootfs = recipe.rootfs().into_iter();
    let users = rootfs.flat_map(|rootfs| &rootfs.users);
    users.map(|name| name.get_ref().as_str()).collect()
}

fn reference(layout: &Path) -> Result<Reference, BuildError> {
    format!("oci:{}:{TAG}", layout.display())
        .parse()
        .map_err(at(Level::Base, "name the image"))
}
