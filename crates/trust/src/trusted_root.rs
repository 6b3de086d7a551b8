//! Whose certificates count, and which logs and clocks: a Sigstore's trusted root, given as a file
//! (`sigstore_trustroot.proto` of protobuf-specs), or the parts of one that containers' `policy.json` names.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::Digest;
use ohoci_image::json::{self, Shape};
use serde_json::{Value, json};
use sigstore_verify::types::{Artifact, Bundle};
use sigstore_verify::{Error, VerificationPolicy, VerificationResult, Verifier, trust_root};

use crate::pem;
use crate::public_key::PublicKey;

/// Most of a trusted root that is read, in bytes.
pub const MAX_TRUSTED_ROOT: u64 = 4 << 20;

/// A trusted root.
#[derive(Clone)]
pub struct TrustedRoot {
    verifier: Arc<Verifier>,
    /// What tells it from others.
    digest: Digest,
    has_log: bool,
    has_certificate_log: bool,
}

impl TrustedRoot {
    /// Reads a trusted root. Where it names no transparency log, or no log of certificates, none is asked
    /// for: there are Sigstores without.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value = json::parse(bytes, &Shape::Any)
            .map_err(|error| format!("it is no trusted root: {error}"))?;
        let kind = value.get("mediaType").and_then(Value::as_str);
        if !kind.is_some_and(|kind| kind.starts_with("application/vnd.dev.sigstore.trustedroot")) {
            return Err(format!("it is no trusted root, but {kind:?}"));
        }
        let text = str::from_utf8(bytes).map_err(|_| "it is no UTF-8 text".to_owned())?;
        let root = trust_root::TrustedRoot::from_json(text).map_err(|error| error.to_string())?;
        if root.certificate_authorities.is_empty() {
            return Err("it names no certificate authority".to_owned());
        }
        if root.tlogs.is_empty() && root.timestamp_authorities.is_empty() {
            let why = "it names neither a transparency log nor a timestamp authority: nothing would say \
                       when something was signed";
            return Err(why.to_owned());
        }
        Ok(Self {
            verifier: Arc::new(Verifier::new(&root).map_err(|error| error.to_string())?),
            digest: Digest::of(bytes),
            has_log: !root.tlogs.is_empty(),
            has_certificate_log: !root.ctlogs.is_empty(),
        })
    }

    /// A trusted root of certificates in PEM and the keys of transparency logs; there is no log of
    /// certificates.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn of_authority(certificates: &str, logs: &[PublicKey]) -> Result<Self, String> {
        let certificates = pem::certificates(certificates)
            .filter(|list| !list.is_empty())
            .ok_or("it holds no certificates in PEM")?;
        let certificates: Vec<Value> = certificates
            .iter()
            .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
            .collect();
        let logs: Vec<Value> = logs
            .iter()
            .map(|key| {
                json!({
                    "baseUrl": "",
                    "hashAlgorithm": "SHA2_256",
                    "publicKey": {
                        "rawBytes": STANDARD.encode(key.der()),
                        "keyDetails": key.algorithm(),
                    },
                    "logId": {"keyId": key.hint()},
                })
            })
            .collect();
        let root = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": logs,
            "certificateAuthorities": [{"uri": "", "certChain": {"certificates": certificates}}],
        });
        Self::parse(root.to_string().as_bytes())
    }

    /// Verifies all of a bundle but who made it: the certificate up to an authority and at the time of
    /// signing, that certificate's log, the log's entry, the signature, and that it is about the artifact.
    pub(crate) fn verify(
        &self,
        artifact: Artifact<'_>,
        bundle: &Bundle,
        needs_proof: bool,
    ) -> Result<VerificationResult, Error> {
        let mut policy = VerificationPolicy::any_identity();
        if !self.has_log || !needs_proof {
            policy = policy.skip_tlog_unsafe();
        }
        if !self.has_certificate_log {
            policy = policy.skip_sct();
        }
        self.verifier.verify(artifact, bundle, &policy)
    }
}

impl PartialEq for TrustedRoot {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for TrustedRoot {}

impl fmt::Debug for TrustedRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trusted root {}", self.digest)
    }
}
