//! Flags and secrets of commands that sign.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::context::Context;
use super::failure::Failure;
use super::password;
use ohoci_compose::trust::{Signer, key_file, signer::Signing};
use ohoci_config::Environment;
use ohoci_config::environment::COSIGN_PASSWORD;
use ohoci_image::{Algorithm, Hasher};
use ohoci_trust::provenance::Builder;
use ohoci_trust::{Passphrase, PrivateKey};

/// Flags about signatures of what is made.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signing options")]
pub struct SigningArguments {
    /// Sign what is pushed with this private key: cosign's, or PKCS #8. The signature is there before
    /// the tag. $COSIGN_PASSWORD holds the passphrase, or it is asked for
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    pub sign_key: Option<PathBuf>,

    /// Sign with a program that has the key elsewhere (docs/trust.md has its protocol)
    #[arg(
        long,
        value_name = "PROGRAM",
        conflicts_with = "sign_key",
        hide_short_help = true
    )]
    pub sign_program: Option<PathBuf>,

    /// Write signatures under cosign's older tag sha256-DIGEST.sig as well
    #[arg(long, hide_short_help = true)]
    pub sign_tag: bool,

    /// Attach SLSA provenance to what is composed, signed where a key is given
    #[arg(long, hide_short_help = true)]
    pub provenance: bool,
}

impl SigningArguments {
    /// Whether signatures or statements are to be made.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.sign_key.is_some() || self.sign_program.is_some() || self.provenance
    }

    /// How it is signed; `None` where nothing of it is asked for.
    async fn signing(&self, environment: &Environment) -> Result<Option<Signing>, Failure> {
        let key = self.sign_key.as_deref();
        let signer = signer(key, self.sign_program.as_deref(), environment).await?;
        if signer.is_none() && self.sign_tag {
            return Err(Failure::usage(
                "--sign-tag needs --sign-key or --sign-program",
            ));
        }
        if signer.is_none() && !self.provenance {
            return Ok(None);
        }
        Ok(Some(Signing {
            signer,
            with_tag: self.sign_tag,
            provenance: self.provenance.then(builder),
        }))
    }
}

impl Context {
    /// The same, which signs what is made as the flags say.
    pub(crate) async fn signing(mut self, arguments: &SigningArguments) -> Result<Self, Failure> {
        let signing = arguments.signing(&self.environment).await?;
        self.resolver = self.resolver.signing(signing);
        Ok(self)
    }
}

/// What signs; `None` where neither a key nor a program is given.
pub(crate) async fn signer(
    key: Option<&Path>,
    program: Option<&Path>,
    environment: &Environment,
) -> Result<Option<Arc<Signer>>, Failure> {
    if let Some(path) = key {
        let text = key_file::read(path)?;
        let passphrase = if PrivateKey::is_encrypted(&text) {
            let prompt = format!("Passphrase of {}: ", path.display());
            Some(passphrase(environment, &prompt).await?)
        } else {
            None
        };
        let key = key_file::private(path, &text, passphrase.as_ref())?;
        return Ok(Some(Arc::new(Signer::Key(Box::new(key)))));
    }
    match program {
        Some(path) => Ok(Some(Arc::new(Signer::program(path).await?))),
        None => Ok(None),
    }
}

/// The passphrase of a key, out of the environment or from the terminal.
pub(crate) async fn passphrase(
    environment: &Environment,
    prompt: &str,
) -> Result<Passphrase, Failure> {
    if let Some(value) = environment.get_or_nothing(COSIGN_PASSWORD) {
        return Ok(Passphrase::new(value.into_encoded_bytes()));
    }
    let secret = password::asked(prompt).await.map_err(|failure| {
        failure.also_hinted("COSIGN_PASSWORD in the environment holds the passphrase of a key")
    })?;
    Ok(Passphrase::new(secret.expose()))
}

/// This program.
fn builder() -> Builder {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let program = fs_err::read("/proc/self/exe").ok().map(|bytes| {
        hasher.update(&bytes);
        hasher.finish()
    });
    Builder {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        program,
    }
}
