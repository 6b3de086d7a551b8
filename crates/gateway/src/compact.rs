//! Digests in as few bytes as they have: there are hundreds of thousands.

use ohoci_image::{Algorithm, Digest};

/// A digest, as what is kept of very many images names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CompactDigest {
    /// What nearly all are.
    Sha256([u8; 32]),
    Other(Box<Digest>),
}

impl CompactDigest {
    pub(crate) fn of(digest: &Digest) -> Self {
        let mut bytes = [0; 32];
        match digest.algorithm() {
            Algorithm::Sha256 if hex::decode_to_slice(digest.hex(), &mut bytes).is_ok() => {
                Self::Sha256(bytes)
            }
            _ => Self::Other(Box::new(digest.clone())),
        }
    }

    /// The digest, which is always there: none is made of anything else.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Sha256(bytes) => format!("sha256:{}", hex::encode(bytes)).parse().ok(),
            Self::Other(digest) => Some(digest.as_ref().clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_come_back_as_they_were() {
        let long = format!("sha512:{}", "0a".repeat(64));
        for digest in [Digest::of(b"a"), long.parse().unwrap()] {
            let compact = CompactDigest::of(&digest);
            assert_eq!(compact.digest(), Some(digest.clone()));
            assert_eq!(compact, CompactDigest::of(&digest));
        }
        assert!(size_of::<CompactDigest>() <= 40);
    }
}
