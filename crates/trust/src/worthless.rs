//! Why signatures count for nothing.

/// Why a signature is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Worthless {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// Its bundle names another key.
    #[error("it is by another key")]
    OtherKey,
    /// It does not verify.
    #[error("its signature does not fit: it is by another key, or what it signs was changed")]
    DoesNotFit,
    /// It names the right key, but does not verify.
    #[error("it names the key, but its signature does not fit: it or what it signs was changed")]
    Changed,
    /// It verifies, and is about something else.
    #[error("it is about another image")]
    OtherImage,
    /// It was made with a certificate.
    #[error("it is by a certificate (keyless), not by a key")]
    Keyless,
    /// It was made with a key.
    #[error("it is by a key, not by a certificate")]
    ByKey,
    /// Its certificate names an identity that is not accepted: which, and its issuer.
    #[error("it is by {0}, for whom {1} vouches")]
    OtherIdentity(String, String),
    /// It does not verify with the key in its certificate.
    #[error("its signature does not fit its certificate: it or what it signs was changed")]
    CertificateDoesNotFit,
    /// Its certificate has no trusted issuer, or was not valid when the signature was made.
    #[error("its certificate does not count: {0}")]
    Certificate(String),
    /// No log of certificates that the trusted root names has its certificate.
    #[error("its certificate is in no log of certificates that the trusted root names: {0}")]
    NotLogged(String),
    /// Its entry in the transparency log does not hold.
    #[error("its entry in the transparency log does not hold: {0}")]
    Log(String),
    /// Nothing that counts says when it was made.
    #[error("nothing that counts says when it was made: {0}")]
    Undated(String),
    /// It lacks what has to be there.
    #[error("it lacks what a signature by a certificate has to have: {0}")]
    Incomplete(String),
}

impl Worthless {
    /// Which of several reasons tells most of a signature: that it is damaged, rather than that it is by yet
    /// another key.
    pub(crate) fn tells(&self) -> u8 {
        match self {
            Self::Keyless | Self::ByKey => 0,
            Self::OtherKey | Self::DoesNotFit => 1,
            Self::OtherIdentity(..) => 2,
            _ => 3,
        }
    }
}
