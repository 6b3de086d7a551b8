//! The arguments of building images that are not there.

use std::path::PathBuf;

use clap::Args;

/// How images are built.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Images that are not there")]
pub(super) struct BuildArguments {
    /// Build images that are not there, as `swebench images` does, into --images or --registry: where
    /// repositories come from (a repository, a folder of them, or a URL; see there); repeatable
    #[arg(
        long,
        value_name = "[OWNER/NAME=]DIR|URL",
        alias = "repo_source",
        requires = "base"
    )]
    pub(super) repo_source: Vec<String>,

    /// The base level of such images
    #[arg(
        long,
        value_name = "REF",
        alias = "base_image",
        requires = "repo_source",
        group = "base"
    )]
    pub(super) base_image: Option<String>,

    /// The base level of such images, assembled from Debian packages: a recipe with a rootfs table
    #[arg(
        long,
        value_name = "FILE",
        alias = "base_recipe",
        requires = "repo_source",
        group = "base"
    )]
    pub(super) base_recipe: Option<PathBuf>,

    /// Pythons, a folder with one prefix for each version [default: the base's own, else uv's]
    #[arg(
        long,
        value_name = "DIR",
        alias = "python_dir",
        requires = "repo_source"
    )]
    pub(super) python_dir: Option<PathBuf>,

    /// A conda package to do without, where no Python package index has it; repeatable
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "repo_source"
    )]
    pub(super) leave_out: Vec<String>,

    /// Where build logs are written
    #[arg(long, value_name = "DIR", default_value = "logs/build_images")]
    pub(super) build_logs: PathBuf,
}
