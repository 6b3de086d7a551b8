//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How results are written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people and for `$(…)`.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// How the result of a command that makes an image is shown.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArguments {
    /// Write the digest of the result to this file
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub digest_file: Option<PathBuf>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    pub format: Format,

    /// Print requests, bytes and time on stderr at the end
    #[arg(long, hide_short_help = true)]
    pub stats: bool,
}

/// How it is shown that something goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProgressFormat {
    /// A bar, where standard error is a terminal.
    #[default]
    Auto,
    /// One JSON object in a line of standard error for each event, beside the lines for people.
    Json,
    /// Nothing.
    None,
}

/// Flags about what is told beside results.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct ConsoleArguments {
    /// Tell nothing on stderr but warnings and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,

    /// How it is shown on stderr that something goes on
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        global = true,
        hide_short_help = true
    )]
    pub progress: ProgressFormat,
}

/// Flags about registries and the local cache.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Registry options")]
pub struct RegistryArguments {
    /// Read credentials from this file only (Docker's or containers' format)
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub authfile: Option<PathBuf>,

    /// Speak plain HTTP with this registry (loopback needs no flag); repeatable
    #[arg(long, value_name = "HOST", global = true, hide_short_help = true)]
    pub plain_http: Vec<String>,

    /// Trust the certificates in this PEM file as well: authorities', or a registry's own;
    /// repeatable
    #[arg(long, value_name = "FILE", global = true, hide_short_help = true)]
    pub ca_file: Vec<PathBuf>,

    /// Accept any certificate from this registry. Anyone in between can then read and change everything,
    /// passwords included: for tests only; repeatable
    #[arg(long, value_name = "HOST", global = true, hide_short_help = true)]
    pub skip_tls_verify: Vec<String>,

    /// Cache documents and what is known of registries here
    /// [default: $XDG_CACHE_HOME/ohoci]
    #[arg(long, value_name = "DIR", env = ohoci_config::environment::OHOCI_CACHE_DIR.name, global = true, hide_short_help = true)]
    pub cache_dir: Option<PathBuf>,

    /// Neither read nor write the cache
    #[arg(long, global = true, hide_short_help = true)]
    pub no_cache: bool,

    /// Show every request on stderr
    #[arg(long, short, global = true)]
    pub verbose: bool,
}
