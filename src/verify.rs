//! `ohoci verify`: whether a composed image is what its record says.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::compose::difference;
use super::context::Context;
use super::failure::Failure;
use super::trusted::TrustedArguments;
use super::{exit_code, output, printable};
use ohoci_compose::recompose::{self, Verdict, Verification};
use ohoci_compose::signatures::verifying::{self, ProvenanceState, Signatures};
use ohoci_image::Reference;
use ohoci_image::Role;

/// Check that a composed image is what its recorded inputs produce.
///
/// Composes it again from base and deps at their recorded digests and compares digests; nothing is
/// pushed. With --key or --certificate-identity, its signatures are verified instead, or with --replay as
/// well. Exit code 4 says that it is not the same, that an input is gone, or that none of the given signers signed it.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image, made by ohoci: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Whose signatures count.
    #[command(flatten)]
    pub trusted: TrustedArguments,

    /// With a key or an identity: compose the image again as well, and compare it with what its signed provenance says
    #[arg(long)]
    pub replay: bool,

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
    let trusted = arguments.trusted.read()?;
    let whom = arguments.trusted.whom();
    let mut signatures = None;
    if !trusted.is_empty() {
        let found = verifying::signatures(&context.resolver, &reference, &trusted).await?;
        if !arguments.replay {
            context.show_server_warnings();
            match arguments.format {
                Format::Json => output::json(&found)?,
                Format::Text => output::result(&signatures_text(&found, whom))?,
            }
            return Ok(if found.signed {
                exit_code::DONE
            } else {
                exit_code::WANTING
            });
        }
        signatures = Some(found);
    }
    let outcome = recompose::verify(&context.resolver, &reference, &context.work_dir).await;
    context.show_server_warnings();
    let verification = outcome?;
    if let Some(found) = signatures {
        let provenance = verifying::provenance(&context.resolver, &reference, &found).await?;
        let both = Replayed {
            holds: found.signed
                && verification.verdict == Verdict::Equal
                && verification.digest == found.digest
                && provenance.iter().all(|one| one.difference.is_none()),
            signatures: found,
            provenance,
            replay: verification,
        };
        match arguments.format {
            Format::Json => output::json(&both)?,
            Format::Text => output::result(&replayed_text(&both, whom))?,
        }
        return Ok(if both.holds {
            exit_code::DONE
        } else {
            exit_code::WANTING
        });
    }
    match arguments.format {
        Format::Json => output::json(&verification)?,
        Format::Text => output::result(&text(&verification))?,
    }
    Ok(match verification.verdict {
        Verdict::Equal => exit_code::DONE,
        Verdict::Different | Verdict::Unknown => exit_code::WANTING,
    })
}

/// What signatures say, and what composing again gives.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed {
    /// Whether all of it holds.
    holds: bool,
    signatures: Signatures,
    provenance: Vec<ProvenanceState>,
    replay: Verification,
}

fn replayed_text(both: &Replayed, whom: &str) -> String {
    let mut text = signatures_text(&both.signatures, whom);
    if both.provenance.is_empty() {
        text.push_str("\nno signed provenance was found; the image's own record was replayed");
    }
    for one in &both.provenance {
        let _ = match &one.difference {
            None => write!(text, "\nprovenance by {} is the image's record", one.by),
            Some(why) => write!(
                text,
                "\nprovenance by {} is not the image's record: {}",
                one.by,
                printable::line(why)
            ),
        };
    }
    let _ = write!(text, "\n{}", self::text(&both.replay));
    text
}

fn signatures_text(found: &Signatures, whom: &str) -> String {
    let mut text = format!(
        "{}  {}\nfound       {}",
        if found.signed {
            "signed".to_owned()
        } else {
            format!("not signed by {whom} given")
        },
        printable::line(&found.reference),
        found.digest
    );
    for one in &found.signatures {
        let _ = write!(
            text,
            "\n{}  {}  ",
            printable::line(&one.predicate_type),
            printable::line(&one.place)
        );
        let _ = match (&one.by, &one.why) {
            (Some(key), _) => write!(text, "by {}", printable::line(key)),
            (None, Some(why)) => write!(text, "not verified: {}", printable::line(why)),
            (None, None) => write!(text, "not verified"),
        };
    }
    if found.signatures.is_empty() {
        text.push_str("\nno signature was found");
    }
    for one in &found.unreadable {
        let _ = write!(text, "\ncannot be read: {}", printable::line(one));
    }
    text
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
