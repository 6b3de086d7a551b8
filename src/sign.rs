//! `ohoci sign`: signatures of images that are there already.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::signing::signer;
use super::{exit_code, output};
use ohoci_compose::signatures::signing::sign_reference;
use ohoci_compose::trust::signer::Signing;
use ohoci_image::Reference;

/// Sign an image or index, as `cosign sign --key` does.
///
/// The signature is a Sigstore bundle that refers to the image; cosign verifies it with
/// --insecure-ignore-tlog, since nothing is written to a public log. Signing again with the same key
/// changes nothing. Prints the digest of each signature.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("by").required(true).args(["key", "program"]))]
pub struct Arguments {
    /// The image: a registry reference or oci:DIR[:TAG]
    #[arg(value_name = "REF")]
    pub reference: String,

    /// The private key: cosign's, or PKCS #8. $COSIGN_PASSWORD holds the passphrase, or it is asked for
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// A program that has the key elsewhere (docs/trust.md has its protocol)
    #[arg(long, value_name = "PROGRAM")]
    pub program: Option<PathBuf>,

    /// Write the signature under cosign's older tag sha256-DIGEST.sig as well
    #[arg(long)]
    pub tag: bool,

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
    let (key, program) = (arguments.key.as_deref(), arguments.program.as_deref());
    let signing = Signing {
        signer: signer(key, program, &context.environment).await?,
        with_tag: arguments.tag,
        provenance: None,
    };
    let outcome = sign_reference(&context.resolver, &reference, &signing).await;
    context.show_server_warnings();
    let made = outcome?;
    match arguments.format {
        Format::Json => output::json(&made)?,
        Format::Text => {
            if let Some(first) = made.first() {
                output::note(&format!("signed {}", first.image));
            }
            let digests: Vec<String> = made.iter().map(|one| one.digest.to_string()).collect();
            output::result(&digests.join("\n"))?;
        }
    }
    Ok(exit_code::DONE)
}
