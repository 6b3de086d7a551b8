//! `ohoci swebench audit-leak`: proves that an image knows nothing newer than its base commit.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use clap::Args;

use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::failure::Failure;
use crate::{exit_code, output, printable};
use ohoci_config::environment::PATH;
use ohoci_image::{Platform, Reference};
use ohoci_swebench_images::audit_image::audit_image;
use ohoci_swebench_images::git::Git;

/// Prove that an instance's image knows nothing newer than its base commit
///
/// Takes /testbed/.git out of the image, runs none of the image's programs, indexes its packs anew
/// and looks at every object, reference, log and setting: commits and tags that are newer, contents
/// that are in no commit up to then, names of what is not there, places to fetch from. Exit code 4
/// says that something was found.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "IMAGE")]
    pub image: String,

    /// The instance's base commit [default: the image's label ohoci.swebench.base-commit]
    #[arg(long, value_name = "COMMIT", alias = "base_commit")]
    pub base_commit: Option<String>,

    /// Look at the image for this platform (os/arch[/variant])
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let image: Reference = arguments.image.parse()?;
    let context = Context::open(registry)?;
    let git = Git::find(context.environment.get(PATH).as_deref())
        .ok_or_else(|| Failure::new("cannot audit anything", "the program git is not installed"))?;
    let audit = audit_image(
        &context.resolver,
        &image,
        arguments.platform.as_ref(),
        arguments.base_commit.as_deref(),
        &git,
        &context.work_dir,
    )
    .await?;
    context.show_server_warnings();
    match arguments.format {
        Format::Json => output::json(&audit)?,
        Format::Text => {
            for finding in &audit.findings {
                let kind = format!("{:?}", finding.kind).to_lowercase();
                output::result(&format!(
                    "{kind:<9}  {}  {}",
                    printable::line(&finding.name),
                    printable::line(&finding.why)
                ))?;
            }
            if audit.more > 0 {
                output::result(&format!("and {} more", audit.more))?;
            }
            let verdict = if audit.is_clean() {
                "nothing is newer than"
            } else {
                "something is newer than"
            };
            output::result(&format!(
                "{verdict} {}: {} objects, {} commits, {} of them on other branches",
                audit.base_commit, audit.objects, audit.commits, audit.elsewhere
            ))?;
        }
    }
    Ok(if audit.is_clean() {
        exit_code::DONE
    } else {
        exit_code::WANTING
    })
}
