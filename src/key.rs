//! `ohoci key`: keys that images are signed with.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::arguments::Format;
use super::failure::Failure;
use super::signing::passphrase;
use super::{exit_code, output, printable};
use ohoci_compose::trust::key_file;
use ohoci_config::Environment;
use ohoci_image::Digest;

/// What is done with keys.
#[derive(Subcommand, Clone, Debug)]
pub enum KeyCommand {
    /// Make a key pair for signing images, as cosign makes it
    Generate(GenerateArguments),
}

/// Make a key pair for signing images, as cosign makes it.
///
/// ECDSA on P-256. The private key is encrypted with the passphrase in $COSIGN_PASSWORD, or one that is
/// asked for, and can be read by its owner alone. Neither file is replaced if it is there.
#[derive(Args, Clone, Debug)]
pub struct GenerateArguments {
    /// Write PREFIX.key and PREFIX.pub
    #[arg(long, value_name = "PREFIX", default_value = "ohoci")]
    pub out: PathBuf,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the command.
pub(super) async fn run(command: &KeyCommand) -> Result<u8, Failure> {
    let KeyCommand::Generate(arguments) = command;
    let passphrase = passphrase(&Environment::of_process(), "Passphrase for the new key: ").await?;
    let (path, key) = key_file::generate(&arguments.out, &passphrase)?;
    output::note(&format!(
        "wrote {} and its public key beside it",
        printable::line(&path.display().to_string())
    ));
    match arguments.format {
        Format::Json => output::json(&KeyPair {
            private_key: path.display().to_string(),
            public_key: path.with_extension("pub").display().to_string(),
            fingerprint: key.fingerprint(),
        })?,
        Format::Text => output::result(&key.fingerprint().to_string())?,
    }
    Ok(exit_code::DONE)
}

/// A new key pair.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyPair {
    private_key: String,
    public_key: String,
    fingerprint: Digest,
}
