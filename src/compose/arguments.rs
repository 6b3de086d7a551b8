//! The command line of `ohoci compose`.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::path::PathBuf;

use clap::Args;

use super::contract::ContractArgument;
use crate::arguments::OutputArguments;
use crate::choices::{self, Packing};
use crate::signing::SigningArguments;
use crate::tags::SchemeName;
use ohoci_compose::fit::Fit;
use ohoci_compose::job::IfExists;
use ohoci_compose::owner::NamedOwner;
use ohoci_image::Platform;
use ohoci_image::label::Position;

/// Put ready-made layers on a base image.
///
/// Reads the base's manifest and config, appends layers that already exist, patches the config,
/// and pushes two small documents. Layers that are in the target registry are mounted, not moved.
/// Prints the digest reference of the result, one line for each place.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Base image, or scratch
    ///
    /// [docker://]REGISTRY/NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG],
    /// docker-archive:FILE[:NAME] or scratch
    #[arg(long, value_name = "REF", help_heading = "Base and layers")]
    pub base: Option<String>,

    /// What is put on the base, and where the result goes.
    #[command(flatten)]
    pub common: CommonArguments,

    /// Print the plan and the config's changes; send only GET and HEAD
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,

    /// How the result is shown.
    #[command(flatten)]
    pub output: OutputArguments,

    /// Signatures of the result.
    #[command(flatten)]
    pub signing: SigningArguments,
}

/// What is put on a base, and where the result goes: what `compose` and `batch` share.
#[derive(Args, Clone, Debug, Default)]
pub struct CommonArguments {
    /// Append the layers and settings of this image; repeatable
    ///
    /// Its settings are the config patch that it carries
    #[arg(long, value_name = "REF", help_heading = "Base and layers")]
    pub deps: Vec<String>,

    /// Layers.
    #[command(flatten)]
    pub layers: LayerArguments,

    /// Where the result goes; repeatable for more tags and more places
    #[arg(long, value_name = "REF", help_heading = "Targets")]
    pub push: Vec<String>,

    /// Fail, and say why, instead of moving layer bytes
    #[arg(long, help_heading = "Targets", hide_short_help = true)]
    pub no_upload: bool,

    /// More about targets.
    #[command(flatten)]
    pub targets: TargetArguments,

    /// Platforms.
    #[command(flatten)]
    pub platforms: PlatformArguments,

    /// Config changes.
    #[command(flatten)]
    pub patch: PatchArguments,
}

/// What is put on the base, and how.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Base and layers")]
pub struct LayerArguments {
    /// Take only this path out of the deps images (for images that hold more than their prefix):
    /// it is flattened into one layer, once
    #[arg(long, value_name = "PATH", requires = "deps", hide_short_help = true)]
    pub deps_path: Option<String>,

    /// Append a layer packed from a tar, a directory or another file; repeatable
    ///
    /// The tar may be plain, gzip or zstd, and - reads it from stdin; it lands in DEST (default /), as
    /// a directory does. Another file becomes DEST, or goes into it where DEST ends with a slash. With
    /// PLATFORM in front, such as linux/arm64=, only the image for that platform has it
    #[arg(
        long,
        value_name = "[PLATFORM=]PATH[:DEST]",
        allow_hyphen_values = true
    )]
    pub layer: Vec<String>,

    /// Give everything in the layers of --layer to this user and group [default: root, and whoever a
    /// tar names]. Names are looked up in the base's /etc/passwd and /etc/group, for which its layers
    /// are read
    #[arg(long, value_name = "USER[:GROUP]", hide_short_help = true)]
    pub chown: Option<NamedOwner>,

    /// Exclude what matches this pattern from the directories of --layer, in the syntax of
    /// `.dockerignore`: `**/node_modules`, `*.log`, `!important.log`; repeatable, the last match counts
    #[arg(long, value_name = "PATTERN", hide_short_help = true)]
    pub exclude: Vec<String>,

    /// Exclude what matches the patterns in this file, such as `.dockerignore`, which is not read
    /// unless named; repeatable, applied before --exclude
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub exclude_from: Vec<PathBuf>,

    /// Append the project's source as a layer of its own below /openhands/code: all of DIR but
    /// hidden directories, `__pycache__` and `*.pyc`. With --tag-scheme v0: what the source tag is
    /// a hash of, and images under the source, lock and versioned tags are used again
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub code: Option<PathBuf>,

    /// Add the paths and settings that OpenHands' launchers take for granted
    ///
    /// They come as a tiny layer and in the config; other flags override its settings. Without a value,
    /// the contract is that of the deps' server
    #[arg(
        long,
        value_enum,
        value_name = "CONTRACT",
        requires = "deps",
        num_args = 0..=1,
        default_missing_value = "auto"
    )]
    pub contract: Option<ContractArgument>,

    /// How to compress layers from directories and plain tars
    #[arg(long, value_parser = choices::packing(), default_value = "gzip", hide_short_help = true)]
    pub(crate) compression: Packing,

    /// The level of that: 0 to 9 for gzip [default: 6], 1 to 19 for zstd [default: 3]
    #[arg(long, value_name = "LEVEL", hide_short_help = true)]
    pub compression_level: Option<u32>,

    /// Where added layers go [default: top]
    #[arg(long, value_parser = choices::position(), hide_short_help = true)]
    pub position: Option<Position>,

    /// Give the base what it lacks, as a tiny layer of links to the deps' tools
    ///
    /// auto, none, or a list of sh, bash, env, users, account, tmp, certificates, trust. Reads the
    /// headers of the base's layers, once; what a contract and --layer add then follows the base's symlinks
    #[arg(long, value_name = "auto|none|LIST", default_value = "none")]
    pub fit: Fit,
}

/// How targets are named, and what is allowed there.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Targets")]
pub struct TargetArguments {
    /// Name results by a scheme of `ohoci tags`; --push then names repositories without tags
    #[arg(
        long,
        value_enum,
        value_name = "SCHEME",
        hide_possible_values = false,
        hide_short_help = true
    )]
    pub tag_scheme: Option<SchemeName>,

    /// What the scheme's tags depend on: a flag of `ohoci tags` without its dashes, such as
    /// sha=abc1234 or no-browser; repeatable
    #[arg(
        long,
        value_name = "KEY[=VALUE]",
        requires = "tag_scheme",
        hide_short_help = true
    )]
    pub tag_input: Vec<String>,

    /// What to do when a target reference exists [default: replace]
    #[arg(long, value_parser = choices::if_exists(), hide_short_help = true)]
    pub if_exists: Option<IfExists>,

    /// Refuse images of more layers than this, up to 500 [default: 127, as many as Docker mounts]
    #[arg(long, value_name = "COUNT", hide_short_help = true)]
    pub max_layers: Option<usize>,
}

/// For which platforms.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Platforms")]
pub struct PlatformArguments {
    /// Compose for this platform (os/arch[/variant]); repeatable, several make an index
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Vec<Platform>,

    /// Compose for every platform of the base: index in, index out
    #[arg(long, conflicts_with = "platform")]
    pub all_platforms: bool,
}

/// Flags that change the image's config and annotations.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Config options")]
pub struct PatchArguments {
    /// Set an environment variable; repeatable
    ///
    /// ${VAR}, ${VAR:-word} and ${VAR:+word} read the base's environment
    #[arg(long, short, value_name = "KEY=VALUE")]
    pub env: Vec<String>,

    /// Remove an environment variable; repeatable
    #[arg(long, value_name = "KEY", hide_short_help = true)]
    pub unset_env: Vec<String>,

    /// Set the entrypoint: a JSON array, or one program; '' removes it
    ///
    /// Clears the base's Cmd, as a Dockerfile does
    #[arg(long, value_name = "JSON|PROGRAM")]
    pub entrypoint: Option<String>,

    /// Keep the base's Cmd although the entrypoint is set
    #[arg(long, hide_short_help = true)]
    pub keep_cmd: bool,

    /// Set the command: a JSON array, or one word; '' removes it
    #[arg(long, value_name = "JSON|WORD", hide_short_help = true)]
    pub cmd: Option<String>,

    /// Set the user: NAME|UID[:GROUP|GID]
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// Set the working directory
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    pub workdir: Option<String>,

    /// Set a label; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,

    /// Remove a label; repeatable
    #[arg(long, value_name = "KEY", hide_short_help = true)]
    pub unset_label: Vec<String>,

    /// Set a manifest annotation; makes the image an OCI image; repeatable
    #[arg(long, value_name = "KEY=VALUE", hide_short_help = true)]
    pub annotation: Vec<String>,

    /// Declare a port: PORT[/tcp|udp|sctp]; repeatable
    #[arg(long, value_name = "PORT", hide_short_help = true)]
    pub expose: Vec<String>,

    /// Declare a volume; repeatable
    #[arg(long, value_name = "PATH", hide_short_help = true)]
    pub volume: Vec<String>,

    /// Set the signal that stops the container
    #[arg(long, value_name = "SIGNAL", hide_short_help = true)]
    pub stop_signal: Option<String>,

    /// Remove a declared port, or `all`; repeatable
    #[arg(
        long,
        value_name = "PORT|all",
        alias = "unset-port",
        hide_short_help = true
    )]
    pub unset_expose: Vec<String>,

    /// Remove a declared volume, or `all`; repeatable
    #[arg(long, value_name = "PATH|all", hide_short_help = true)]
    pub unset_volume: Vec<String>,

    /// Remove Docker's health check
    #[arg(long, hide_short_help = true)]
    pub unset_healthcheck: bool,

    /// Remove the entrypoint, and with it the command
    #[arg(long, conflicts_with = "entrypoint", hide_short_help = true)]
    pub unset_entrypoint: bool,

    /// Remove the command
    #[arg(long, conflicts_with = "cmd", hide_short_help = true)]
    pub unset_cmd: bool,

    /// Remove the user: the image starts as root
    #[arg(long, conflicts_with = "user", hide_short_help = true)]
    pub unset_user: bool,

    /// Remove the working directory: the image starts in /
    #[arg(long, conflicts_with = "workdir", hide_short_help = true)]
    pub unset_workdir: bool,

    /// Remove the signal that stops the container
    #[arg(long, conflicts_with = "stop_signal", hide_short_help = true)]
    pub unset_stop_signal: bool,
}
