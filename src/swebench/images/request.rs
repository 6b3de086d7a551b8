//! What commands ask for when they have images built, and the job that it comes to.

use std::path::PathBuf;

use crate::limits::LimitArguments;
use ohoci_image::Reference;
use ohoci_layer::pack::PackOptions;
use ohoci_swebench_images::destination::Destination;
use ohoci_swebench_images::repository::RepoSource;

/// What is asked for, whichever the command.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Where repositories come from.
    pub(crate) sources: Vec<RepoSource>,
    /// The base level, an image.
    pub(crate) base_image: Option<String>,
    /// The base level, a recipe.
    pub(crate) base_recipe: Option<PathBuf>,
    /// Where Pythons are.
    pub(crate) python_dir: Option<PathBuf>,
    /// Where images go.
    pub(crate) destinations: Vec<Destination>,
    /// The namespace in images' names.
    pub(crate) namespace: Option<String>,
    /// The tag in images' names.
    pub(crate) tag: String,
    /// Whether images of base and environments are pushed, too.
    pub(crate) all_levels: bool,
    /// Images whose layers are added.
    pub(crate) deps: Vec<Reference>,
    /// Channels of conda's packages, before those of this machine's settings.
    pub(crate) channels: Vec<String>,
    /// conda packages to do without.
    pub(crate) leave_out: Vec<String>,
    /// Whether nothing that runs may use the network.
    pub(crate) offline: bool,
    /// Whether levels stay unpacked in the cache.
    pub(crate) keep_unpacked: bool,
    /// How many are built side by side.
    pub(crate) workers: usize,
    /// Where build logs are written.
    pub(crate) logs: PathBuf,
    /// How layers are packed.
    pub(crate) packing: PackOptions,
    /// What programs may use.
    pub(crate) limits: LimitArguments,
}
