//! Signatures by certificates that are made for one signature (Sigstore's keyless signing): who it has to be,
//! and what is said when it is not.

use ohoci_image::{Algorithm, Digest};
use sigstore_verify::types::artifact::ArtifactDigest;
use sigstore_verify::types::{Artifact, Bundle, HashAlgorithm};
use sigstore_verify::{CertificateError, Error};

use crate::pattern;
use crate::trusted_root::TrustedRoot;
use crate::worthless::Worthless;

/// Who has to have signed: whom a login service vouched for when the certificate was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The trusted root, and the file that it is from.
    pub root: (String, TrustedRoot),
    /// The login service: its URL, or a pattern of it.
    pub issuer: String,
    /// The login: an address of mail, or the URI of a workflow; or a pattern of it, in which `*` stands for
    /// anything.
    pub identity: String,
}

/// Who signed, as a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certified {
    /// The login.
    pub identity: String,
    /// The service that vouched for it.
    pub issuer: String,
}

/// What a certificate's signature is over.
pub(crate) enum Signed<'a> {
    /// A statement about the content with a digest.
    Statement(&'a Digest),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl CertificateIdentity {
    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} (by {})", self.identity, self.issuer)
    }

    /// Verifies a bundle.
    pub(crate) fn verify(
        &self,
        bundle: &[u8],
        signed: &Signed<'_>,
    ) -> Result<Certified, Worthless> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Worthless::Unreadable(format!("its bundle cannot be read: {error}"))
        };
        let text = str::from_utf8(bundle).map_err(|error| unreadable(&error))?;
        let bundle = Bundle::from_json(text).map_err(|error| unreadable(&error))?;
        // The older form has no proof that the log holds the entry, but the log's signed promise.
        let (artifact, needs_proof) = match signed {
            Signed::Statement(digest) => (of_digest(digest)?, true),
            Signed::Bytes(bytes) => (Artifact::from_blob(bytes), false),
        };
        let (_, root) = &self.root;
        let verified = root
            .verify(artifact, &bundle, needs_proof)
            .map_err(|error| worthless(&error))?;
        let by = Certified {
            identity: verified
                .identity()
                .map_or_else(|| "nobody".to_owned(), |one| one.as_str().to_owned()),
            issuer: verified.issuer().unwrap_or("nobody").to_owned(),
        };
        let fits = verified.identity().is_some()
            && verified.issuer().is_some()
            && pattern::matches(&self.issuer, &by.issuer)
            && pattern::matches(&self.identity, &by.identity);
        if fits {
            Ok(by)
        } else {
            Err(Worthless::OtherIdentity(by.identity, by.issuer))
        }
    }
}

fn of_digest(digest: &Digest) -> Result<Artifact<'static>, Worthless> {
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => HashAlgorithm::Sha2256,
        Algorithm::Sha512 => HashAlgorithm::Sha2512,
    };
    let bytes = hex::decode(digest.hex()).unwrap_or_default();
    ArtifactDigest::new(algorithm, bytes)
        .map(Artifact::Digest)
        .map_err(|error| Worthless::Unreadable(error.to_string()))
}

fn worthless(error: &Error) -> Worthless {
    match error {
        Error::ArtifactMismatch(_) => Worthless::OtherImage,
        Error::SignatureInvalid(_) => Worthless::CertificateDoesNotFit,
        Error::Certificate(CertificateError::Sct(why)) => Worthless::NotLogged(why.clone()),
        Error::Certificate(why) => Worthless::Certificate(why.to_string()),
        Error::TransparencyLog(why) => Worthless::Log(why.to_string()),
        Error::Timestamp(why) => Worthless::Undated(why.to_string()),
        Error::Bundle(why) => Worthless::Incomplete(why.to_string()),
        other => Worthless::Unreadable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trusted::{self, Trusted};
    use crate::{PrivateKey, Signature};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    const BUNDLE: &str = include_str!("../../../fixtures/sigstore/bundle.json");
    const ROOT: &str = include_str!("../../../fixtures/sigstore/trusted_root.json");
    const IMAGE: &str = "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf";
    const ISSUER: &str = "https://token.actions.githubusercontent.com";
    const WORKFLOW: &str =
        "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/*";

    fn identity(root: &str, issuer: &str, identity: &str) -> Trusted {
        let root = TrustedRoot::parse(root.as_bytes()).unwrap();
        Trusted::Identity(CertificateIdentity {
            root: ("trusted_root.json".to_owned(), root),
            issuer: issuer.to_owned(),
            identity: identity.to_owned(),
        })
    }

    /// What the bundle says of the image, changed by `change`, with a trusted root changed by `root`.
    fn claim(
        change: impl Fn(&mut Value),
        root: impl Fn(&mut Value),
        image: &str,
    ) -> Result<String, String> {
        let (mut bundle, mut trusted_root): (Value, Value) = (
            serde_json::from_str(BUNDLE).unwrap(),
            serde_json::from_str(ROOT).unwrap(),
        );
        change(&mut bundle);
        root(&mut trusted_root);
        let signature = Signature::bundle("x", bundle.to_string().as_bytes())
            .map_err(|error| error.to_string())?;
        let trusted = [identity(&trusted_root.to_string(), ISSUER, WORKFLOW)];
        trusted::claim(&trusted, &signature, &image.parse().unwrap())
            .map(|claim| claim.by)
            .map_err(|error| error.unwrap().to_string())
    }

    fn as_it_is(_: &mut Value) {}

    #[test]
    fn what_sigstores_own_services_signed_counts_for_whom_they_name() {
        let by = claim(as_it_is, as_it_is, IMAGE).unwrap();
        assert!(by.contains("oidc-beacon.yml@refs/heads/main"), "{by}");
        assert!(by.ends_with(&format!("(by {ISSUER})")), "{by}");
        let signature = Signature::bundle("x", BUNDLE.as_bytes()).unwrap();
        let image: Digest = IMAGE.parse().unwrap();
        for (issuer, login) in [
            (ISSUER, "https://github.com/sigstore-conformance/other/*"),
            ("https://issuer.example", WORKFLOW),
            (ISSUER, ""),
            ("", WORKFLOW),
        ] {
            let trusted = [identity(ROOT, issuer, login)];
            let why = trusted::claim(&trusted, &signature, &image).unwrap_err();
            assert!(matches!(why, Some(Worthless::OtherIdentity(..))), "{why:?}");
        }
        let key = PrivateKey::from_random(&[1; 32]).unwrap().public().clone();
        let both = [
            Trusted::Key("a.pub".to_owned(), key),
            identity(ROOT, ISSUER, WORKFLOW),
        ];
        trusted::claim(&both, &signature, &image).unwrap();
        let why = trusted::claim(&both[..1], &signature, &image).unwrap_err();
        assert_eq!(why, Some(Worthless::Keyless));
    }

    #[test]
    fn each_change_has_its_own_word() {
        let other = Digest::of(b"other").to_string();
        let why = claim(as_it_is, as_it_is, &other).unwrap_err();
        assert_eq!(why, "it is about another image");
        let change = |pointer: &'static str, value: Value| {
            move |document: &mut Value| *document.pointer_mut(pointer).unwrap() = value.clone()
        };
        let drop = |pointer: &'static str, key: &'static str| {
            move |document: &mut Value| {
                let object = document.pointer_mut(pointer).unwrap();
                object.as_object_mut().unwrap().remove(key).unwrap();
            }
        };
        let refused = |words: &str, found: Result<String, String>| {
            let why = found.unwrap_err();
            assert!(why.contains(words), "{words}: {why}");
        };
        let material = "/verificationMaterial";
        let entry = "/verificationMaterial/tlogEntries/0";
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "a", "digest": {"sha256": IMAGE.trim_start_matches("sha256:")}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {},
        });
        let statement = STANDARD.encode(statement.to_string());
        refused(
            "its signature does not fit its certificate",
            claim(
                change("/dsseEnvelope/payload", statement.into()),
                as_it_is,
                IMAGE,
            ),
        );
        refused(
            "nothing that counts says when it was made",
            claim(drop(material, "timestampVerificationData"), as_it_is, IMAGE),
        );
        refused(
            "it lacks what a signature by a certificate has to have",
            claim(drop(material, "tlogEntries"), as_it_is, IMAGE),
        );
        refused(
            "it lacks what a signature by a certificate has to have",
            claim(drop(entry, "inclusionProof"), as_it_is, IMAGE),
        );
        let hashes = |document: &mut Value| {
            let hashes = document
                .pointer_mut("/verificationMaterial/tlogEntries/0/inclusionProof/hashes")
                .unwrap();
            hashes.as_array_mut().unwrap().pop().unwrap();
        };
        refused(
            "its entry in the transparency log does not hold",
            claim(hashes, as_it_is, IMAGE),
        );
        // What does not count any longer, or did not yet, at the time of the signature.
        let closed = |document: &mut Value| {
            for authority in document["certificateAuthorities"].as_array_mut().unwrap() {
                authority["validFor"] =
                    json!({"start": "2020-01-01T00:00:00Z", "end": "2021-01-01T00:00:00Z"});
            }
        };
        refused(
            "its certificate does not count: no trusted certificate authority is valid",
            claim(as_it_is, closed, IMAGE),
        );
        let of_others = |list: &'static str| {
            move |document: &mut Value| {
                let logs = document[list].as_array_mut().unwrap();
                for (id, log) in (7..).zip(logs) {
                    log["logId"]["keyId"] = STANDARD.encode([id; 32]).into();
                }
            }
        };
        refused(
            "its certificate is in no log of certificates",
            claim(as_it_is, of_others("ctlogs"), IMAGE),
        );
        refused(
            "its entry in the transparency log does not hold",
            claim(as_it_is, of_others("tlogs"), IMAGE),
        );
        // A Sigstore without logs asks for none.
        let without_logs = |document: &mut Value| {
            document["ctlogs"] = json!([]);
            document["tlogs"] = json!([]);
        };
        claim(as_it_is, without_logs, IMAGE).unwrap();
    }

    #[test]
    fn what_is_no_trusted_root_is_told() {
        for (text, words) in [
            ("{", "it is no trusted root"),
            (BUNDLE, "it is no trusted root, but"),
            (
                r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#,
                "it names no certificate authority",
            ),
        ] {
            let why = TrustedRoot::parse(text.as_bytes()).unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
        let mut root: Value = serde_json::from_str(ROOT).unwrap();
        root["tlogs"] = json!([]);
        root["timestampAuthorities"] = json!([]);
        let why = TrustedRoot::parse(root.to_string().as_bytes()).unwrap_err();
        assert!(why.contains("nothing would say when"), "{why}");
        assert!(TrustedRoot::of_authority("", &[]).is_err());
        assert!(TrustedRoot::of_authority("-----BEGIN CERTIFICATE-----", &[]).is_err());
    }
}
