//! The command line of `ohoci batch`.

use std::path::PathBuf;

use clap::Args;

use crate::arguments::Format;
use crate::compose;
use crate::signing::SigningArguments;

/// Compose many images in one run.
///
/// Every blob that the images share moves once per repository; what one image taught is known to
/// the next, in this run and in later ones. Exit code 3 says that some images failed or were left.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Base images, one reference per line (# starts a comment); - reads stdin
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["plan", "rebase"],
        conflicts_with_all = ["plan", "rebase"]
    )]
    pub bases: Option<PathBuf>,

    /// One compose per line, as a JSON object with compose's flags as fields; - reads stdin
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "CommonArguments",
            "LayerArguments",
            "TargetArguments",
            "PlatformArguments",
            "PatchArguments",
        ]
    )]
    pub plan: Option<PathBuf>,

    /// Composed images to make anew from their own records, one reference per line; - reads stdin.
    /// Each goes back to its own tag unless --push says otherwise. Of compose's flags it takes
    /// --deps, which replaces the recorded deps images, --push and --no-upload
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["plan", "LayerArguments", "TargetArguments", "PlatformArguments", "PatchArguments"]
    )]
    pub rebase: Option<PathBuf>,

    /// With --rebase: keep each base as it was then, although its reference may name another by
    /// now
    #[arg(long, requires = "rebase")]
    pub keep_base: bool,

    /// With --rebase: keep the deps images as they were then
    #[arg(long, requires = "rebase", conflicts_with = "deps")]
    pub keep_deps: bool,

    /// Where records are written, one JSON line per image as it ends
    #[arg(long, value_name = "FILE", default_value = "ohoci-batch.jsonl")]
    pub journal: PathBuf,

    /// Go on from the journal: what is recorded as done is not looked at again
    #[arg(long)]
    pub resume: bool,

    /// Do only what the journal records as failed
    #[arg(long, conflicts_with = "resume")]
    pub retry_failed: bool,

    /// Start nothing new after the first failed image
    #[arg(long)]
    pub fail_fast: bool,

    /// Start nothing new after this many failed images
    #[arg(long, value_name = "COUNT", conflicts_with = "fail_fast")]
    pub max_failures: Option<usize>,

    /// Ask for every target tag whether it still names what was last pushed to it; without this,
    /// a repository that many images go to is asked for its list of tags once. With --rebase, ask
    /// what each image's tag names now, although this machine pushed it
    #[arg(long)]
    pub verify_targets: bool,

    /// Most images at once; fewer are when a registry wants it
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    pub jobs: usize,

    /// How many times an image is tried before it has failed
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub attempts: u32,

    /// Write a page about the run: what is shared, how long it took, what failed
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// Write the summary as Markdown
    #[arg(long, value_name = "FILE.md")]
    pub markdown: Option<PathBuf>,

    /// Everything that compose takes but its base. In --push, {registry} {repository} {name} {tag}
    /// {digest} {short_digest} {slug} {instance_id} stand for parts of the base.
    #[command(flatten)]
    pub compose: compose::CommonArguments,

    /// Read what each image is made of and say what would be done; send only GET and HEAD, and write
    /// no journal
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,

    /// How the summary is written to stdout; as JSON with the digest of every image
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    pub format: Format,

    /// Signatures of the result.
    #[command(flatten)]
    pub signing: SigningArguments,
}
