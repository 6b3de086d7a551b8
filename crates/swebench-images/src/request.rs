//! What is asked for when images are built, and what they are built with.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::base_source::BaseSource;
use super::builder::clones;
use super::destination::Destination;
use super::division::Part;
use super::repository::RepoSource;
use super::shared_levels::SharedLevels;
use ohoci_compose::resolver::Resolver;
use ohoci_config::{Environment, PackageMirrors};
use ohoci_deps::Session;
use ohoci_http::RetryPolicy;
use ohoci_image::Reference;
use ohoci_layer::pack::PackOptions;
use ohoci_sandbox::AskedLimits;
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench::specs::Catalogue;

/// How long each program of a build may take by default.
pub(super) const PROGRAM_TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where repositories come from.
    pub sources: Vec<RepoSource>,
    /// The base level; a plan can do without.
    pub base: Option<BaseSource>,
    /// Where Pythons are.
    pub python_dir: Option<PathBuf>,
    /// Where images go.
    pub destinations: Vec<Destination>,
    /// The namespace in images' names; `None` as the row's own image says, else upstream's.
    pub namespace: Option<String>,
    /// The tag in images' names.
    pub tag: String,
    /// Whether images of base and environments are pushed, too.
    pub all_levels: bool,
    /// Images whose layers are added.
    pub deps: Vec<Reference>,
    /// Channels of conda's packages, before those of this machine's settings.
    pub channels: Vec<String>,
    /// Where locks of environments that upstream did not freeze are read from and written to.
    pub conda_locks: Option<PathBuf>,
    /// conda packages to do without.
    pub leave_out: Vec<String>,
    /// Whether nothing that runs may use the network.
    pub offline: bool,
    /// Where levels are shared with other machines.
    pub levels: Option<SharedLevels>,
    /// The part that is built; `None` is all.
    pub part: Option<Part>,
    /// Whether layers that are unpacked stay for later runs.
    pub keep_unpacked: bool,
    /// The most bytes of layers that the run may keep on this machine; `None` for no end.
    pub disk_budget: Option<u64>,
    /// How many are built side by side.
    pub workers: usize,
    /// Where build logs are written.
    pub logs: PathBuf,
    /// How layers are packed.
    pub packing: PackOptions,
    /// What programs may use.
    pub limits: AskedLimits,
}

/// The instances whose images are asked for.
#[derive(Clone, Debug)]
pub struct Instances<'a> {
    /// Their rows.
    pub rows: Vec<Row>,
    /// How versions of repositories are installed.
    pub catalogue: &'a Catalogue,
    /// Predictions whose patches are baked in.
    pub patches: Option<&'a Predictions>,
}

/// What this machine has for it.
#[derive(Debug)]
pub struct Means<'a> {
    /// What images are read and pushed with.
    pub resolver: Arc<Resolver>,
    /// The mirrors of packages that ohoci's own configuration names.
    pub mirrors: &'a PackageMirrors,
    /// The variables that ohoci knows.
    pub environment: &'a Environment,
    /// All variables, of which pip has its own.
    pub variables: Vec<(OsString, OsString)>,
    /// Where files are made on the way. The caller removes it at the end.
    pub work_dir: PathBuf,
    /// Where what may be needed again is kept.
    pub cache_dir: Option<PathBuf>,
    /// Where layers are kept unpacked, and the most bytes of them that stay.
    pub store: (PathBuf, Option<u64>),
    /// How patient to be with servers.
    pub retry: RetryPolicy,
    /// The time, in seconds since 1970: signatures count until some time.
    pub now: i64,
    /// The time that images say they were made, in seconds since 1970.
    pub created: Option<i64>,
    /// Is told what is downloaded.
    pub downloads: Arc<dyn ohoci_compose::Observer>,
}

impl Means<'_> {
    /// What packages are locked and downloaded with.
    pub(super) fn session(&self) -> Session<'_> {
        Session {
            resolver: &self.resolver,
            mirrors: self.mirrors,
            environment: self.environment,
            work_dir: &self.work_dir,
            retry: self.retry,
            now: self.now,
            observer: Arc::clone(&self.downloads),
        }
    }

    /// Where clones are kept.
    pub(super) fn clones(&self) -> PathBuf {
        clones(self.cache_dir.as_deref(), &self.work_dir)
    }
}
