//! Flags about whose signatures count.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use ohoci_compose::trust::{key_file, policy_file};
use ohoci_trust::{CertificateIdentity, Trusted};

/// Whose signatures count.
#[derive(Args, Clone, Debug, Default)]
pub struct TrustedArguments {
    /// Verify signatures with this public key; repeatable
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,

    /// Verify signatures by certificates that name this login: an address of mail, or a workflow's URI; * in
    /// it stands for anything
    #[arg(
        long,
        value_name = "IDENTITY",
        requires_all = ["certificate_oidc_issuer", "trusted_root"]
    )]
    pub certificate_identity: Option<String>,

    /// The service that vouches for the login, by its URL; * in it stands for anything
    #[arg(long, value_name = "URL", requires = "certificate_identity")]
    pub certificate_oidc_issuer: Option<String>,

    /// The Sigstore's trusted root: a file that says whose certificates count, and which logs
    #[arg(long, value_name = "FILE", requires = "certificate_identity")]
    pub trusted_root: Option<PathBuf>,
}

impl TrustedArguments {
    /// Whether neither a key nor an identity is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.key.is_empty() && self.certificate_identity.is_none()
    }

    /// What one of them is, in words.
    pub(crate) fn whom(&self) -> &'static str {
        match (self.key.is_empty(), &self.certificate_identity) {
            (_, None) => "a key",
            (true, Some(_)) => "the identity",
            (false, Some(_)) => "a key or the identity",
        }
    }

    /// Those who are named.
    pub(crate) fn read(&self) -> Result<Vec<Trusted>, Failure> {
        let mut trusted = Vec::new();
        for path in &self.key {
            let key = key_file::public(path)?;
            trusted.push(Trusted::Key(path.display().to_string(), key));
        }
        if let (Some(identity), Some(issuer), Some(path)) = (
            &self.certificate_identity,
            &self.certificate_oidc_issuer,
            &self.trusted_root,
        ) {
            let root = policy_file::trusted_root(path)?;
            trusted.push(Trusted::Identity(CertificateIdentity {
                root: (path.display().to_string(), root),
                issuer: issuer.clone(),
                identity: identity.clone(),
            }));
        }
        Ok(trusted)
    }
}
