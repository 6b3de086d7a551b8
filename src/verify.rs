//! `ohoci verify`: whether a composed image is what its record says.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::fmt::Write as _;

use clap::Args;

use super::arguments::{Format, RegistryArguments};
use super::compose::difference;
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output, printable};
use ohoci_compose::recompose::{self, Verdict, Verification};
use ohoci_image::Reference;
use ohoci_image::Role;

/// Check that a composed image is what its recorded inputs produce.
///
/// Composes it again from base and deps at their recorded digests and compares digests; nothing is
/// pushed. Exit code 4 says that it is not the same, or that an input is gone.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image, made by ohoci: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    pub reference: String,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let reference: Reference = arguments.reference.parse()?;
    let context = Context::open(registry)?;
    let outcome = recompose::verify(&context.resolver, &reference, &context.work_dir).await;
    context.show_server_warnings();
    let verification = outcome?;
    match arguments.format {
        Format::Json => output::json(&verification)?,
        Format::Text => output::result(&text(&verification))?,
    }
    Ok(match verification.verdict {
        Verdict::Equal => exit_code::DONE,
        Verdict::Different | Verdict::Unknown => exit_code::WANTING,
    })
}

fn text(verification: &Verification) -> String {
    let mut text = format!(
        "{}  {}\n",
        match verification.verdict {
            Verdict::Equal => "equal",
            Verdict::Different => "different",
            Verdict::Unknown => "unknown",
        },
        printable::line(&verification.reference)
    );
    let _ = write!(text, "found       {}", verification.digest);
    if let Some(recomputed) = &verification.recomputed {
        let _ = write!(text, "\nrecomputed  {recomputed}");
    }
    for missing in &verification.missing {
        let origin = match missing.origin {
            Role::Base => "base",
            Role::Deps => "deps",
            Role::Local => "local layer",
        };
        let name = missing.name.as_deref().unwrap_or("without a name");
        let _ = write!(text, "\n{origin} {} ", printable::line(name));
        if let Some(digest) = &missing.digest {
            let _ = write!(text, "at {digest} ");
        }
        let _ = write!(text, "is gone: {}", printable::line(&missing.why));
    }
    for image in &verification.differences {
        let whose = image.platform.as_deref().unwrap_or("index");
        for (what, changes) in [("manifest", &image.manifest), ("config", &image.config)] {
            if changes.is_empty() {
                continue;
            }
            let _ = write!(
                text,
                "\n{what} of {} (- as recomputed, + as found)",
                printable::line(whose)
            );
            for change in changes {
                let _ = write!(text, "\n{}", difference(change));
            }
        }
    }
    for note in &verification.notes {
        let _ = write!(text, "\n{}", printable::line(note));
    }
    text
}
