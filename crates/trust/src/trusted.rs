//! Whose signatures count: a key's, or those of whom a certificate names.

use ohoci_image::Digest;

use crate::certificate::CertificateIdentity;
use crate::public_key::PublicKey;
use crate::signature::{Claim, Signature};
use crate::worthless::Worthless;

/// Whose signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// A key, and the file that it is from.
    Key(String, PublicKey),
    /// Whom a certificate names.
    Identity(CertificateIdentity),
}

impl Trusted {
    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Key(file, _) => file.clone(),
            Self::Identity(identity) => identity.name(),
        }
    }
}

/// What a signature says of an image for the first of them whose it is, or why it says nothing: of several
/// reasons the one that tells most.
///
/// # Errors
/// Why it counts for none of them; `None` where there are none.
pub fn claim(
    trusted: &[Trusted],
    signature: &Signature,
    image: &Digest,
) -> Result<Claim, Option<Worthless>> {
    let mut reason: Option<Worthless> = None;
    for one in trusted {
        let found = match one {
            Trusted::Key(file, key) => signature.claim(file, key, image),
            Trusted::Identity(identity) => signature.claim_by(identity, image),
        };
        match found {
            Ok(claim) => return Ok(claim),
            Err(error) => {
                if reason
                    .as_ref()
                    .is_none_or(|old| error.tells() > old.tells())
                {
                    reason = Some(error);
                }
            }
        }
    }
    Err(reason)
}
