//! `ohoci digest`: what a reference names, as a digest.

use clap::Args;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output};
use ohoci_compose::names;
use ohoci_image::{Platform, Reference};

/// Print the digest that a reference names.
///
/// A registry is asked with one HEAD. Nothing is read but where a registry says no digest, or an image is
/// taken out of an index.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The image or index: a registry reference, or oci:DIR, oci-archive:FILE or docker-archive:FILE
    #[arg(value_name = "REF")]
    pub reference: String,

    /// Of an index, the image for this platform
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
    let reference: Reference = arguments.reference.parse()?;
    let context = Context::open(registry)?;
    let digest = names::digest(&context.resolver, &reference, arguments.platform.as_ref()).await?;
    match arguments.format {
        Format::Json => output::json(&serde_json::json!({
            "reference": reference.to_string(),
            "digest": digest,
        }))?,
        Format::Text => output::result(&digest.to_string())?,
    }
    context.show_server_warnings();
    Ok(exit_code::DONE)
}
