//! What locking, downloading and building are done with, set up once for all three.

use std::path::Path;
use std::sync::Arc;

use super::conda::{self, channels::Channels, source::CondaSource};
use super::fetch::{Fetched, Fetcher};
use super::fetching::{self, Missing, PackageSources};
use super::hosts::DebianHosts;
use super::lock::{Lock, SourceKind};
use super::locking::ImageMeans;
use super::npm::registry::{Registries, registry_of_npm};
use super::python::configuration::Indexes;
use super::recipe::Recipe;
use ohoci_compose::Observer;
use ohoci_compose::resolver::Resolver;
use ohoci_config::{Environment, PackageMirrors};
use ohoci_http::RetryPolicy;
use ohoci_image::Platform;
use ohoci_store::cache::Cache;

/// Where the machine's package managers are set up.
const ETC: &str = "/etc";

/// What locking, downloading and building are done with. Indexes and registries are those that this
/// machine's package managers are set up with.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// Reads and writes images.
    pub resolver: &'a Resolver,
    /// The mirrors of ohoci's own configuration.
    pub mirrors: &'a PackageMirrors,
    /// The variables that package managers are set up by.
    pub environment: &'a Environment,
    /// Where files are made on the way. The caller removes it at the end.
    pub work_dir: &'a Path,
    /// How long a mirror may take.
    pub retry: RetryPolicy,
    /// The time, in seconds since 1970: signatures count until some time.
    pub now: i64,
    /// Is told what is being done and which bytes move.
    pub observer: Arc<dyn Observer>,
}

impl Session<'_> {
    /// Downloads what a lock names for these platforms, as far as it is not in the cache.
    ///
    /// # Errors
    /// The files that could not be had.
    pub async fn fetch(
        &self,
        recipe: &Recipe,
        lock: &Lock,
        platforms: &[Platform],
    ) -> Result<Fetched, Missing> {
        self.fetch_with(&self.fetcher(), recipe, lock, platforms)
            .await
    }

    /// The same, through a fetcher that is used again for what it has downloaded.
    pub(crate) async fn fetch_with(
        &self,
        fetcher: &Fetcher,
        recipe: &Recipe,
        lock: &Lock,
        platforms: &[Platform],
    ) -> Result<Fetched, Missing> {
        let is_npm = |kind: SourceKind| kind == SourceKind::Npm;
        let needs_npm = lock.source.iter().any(|source| is_npm(source.kind));
        let package_sources = PackageSources {
            hosts: &self.debian_hosts(),
            configured: self.mirrors,
            python: &self.python_indexes(),
            images: self.images(),
            npm: &self.npm_registries(needs_npm).await,
            conda: self.conda(),
        };
        let path = recipe.lock_path();
        fetching::fetch(recipe, lock, &path, platforms, fetcher, package_sources).await
    }

    /// Downloads into the cache, or where there is none, next to what else is made on the way.
    pub(crate) fn fetcher(&self) -> Fetcher {
        let cache = &self.resolver.cache;
        let cache = match cache.is_disabled() {
            true => Arc::new(Cache::new(self.work_dir.join("packages"))),
            false => Arc::clone(cache),
        };
        Fetcher::new(cache, Arc::clone(&self.observer)).with_policy(self.retry)
    }

    /// What this machine says of conda's channels, and `flags` before it.
    #[must_use]
    pub fn conda_settings(&self, flags: &[String]) -> conda::channels::Settings {
        let etc = Path::new(ETC);
        conda::channels::Settings::of_machine(flags, self.environment, self.mirrors, etc)
    }

    /// What packages of these channels are had with.
    #[must_use]
    pub fn conda_source(&self, channels: Channels, offline: bool) -> CondaSource {
        CondaSource {
            fetcher: self.fetcher(),
            channels,
            work_dir: self.work_dir.to_owned(),
            offline,
            now: self.now,
        }
    }

    /// What this machine says of conda's channels, for recipes.
    pub(crate) fn conda(&self) -> conda::source::CondaMeans<'_> {
        conda::source::CondaMeans {
            environment: self.environment,
            mirrors: self.mirrors,
            etc: Path::new(ETC),
            work_dir: self.work_dir,
            now: self.now,
        }
    }

    pub(crate) fn debian_hosts(&self) -> DebianHosts {
        DebianHosts::read(Path::new("/"), self.mirrors)
    }

    pub(crate) fn python_indexes(&self) -> Indexes {
        Indexes::of_machine(self.environment, Path::new(ETC))
    }

    /// What images that recipes name are read with.
    pub(crate) fn images(&self) -> ImageMeans<'_> {
        ImageMeans {
            resolver: self.resolver,
            work_dir: self.work_dir,
        }
    }

    /// The machine's npm registries; npm is asked for its own where none is configured. npm is
    /// not run where no package comes from a registry.
    pub(crate) async fn npm_registries(&self, is_needed: bool) -> Registries {
        if !is_needed {
            return Registries::default();
        }
        let found = Registries::of_machine(self.environment, Path::new(ETC));
        match found.has_default() {
            true => found,
            false => found.or_default(registry_of_npm(Path::new("npm")).await),
        }
    }
}
