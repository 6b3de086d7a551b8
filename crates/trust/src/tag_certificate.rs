//! Keyless signatures in cosign's older form: the certificate and the log's promise are annotations beside the
//! signature (cosign's `specs/SIGNATURE_SPEC.md`). They become a bundle of version 0.1, which holds the same.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ohoci_image::Digest;
use ohoci_image::json::{self, Shape};
use serde_json::{Value, json};

use crate::pem;

const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
const CHAIN: &str = "dev.sigstore.cosign/chain";
const LOG_ENTRY: &str = "dev.sigstore.cosign/bundle";
const TIMESTAMP: &str = "dev.sigstore.cosign/rfc3161timestamp";

/// The bundle; `None` where there is no certificate.
///
/// # Errors
/// What is wrong with the annotations.
pub(crate) fn bundle(
    annotations: &BTreeMap<String, String>,
    payload: &[u8],
    signature: &[u8],
) -> Result<Option<Bytes>, String> {
    let Some(certificate) = annotations.get(CERTIFICATE) else {
        return Ok(None);
    };
    let mut certificates = pem::certificates(certificate)
        .filter(|list| list.len() == 1)
        .ok_or("its certificate is no PEM")?;
    if let Some(chain) = annotations.get(CHAIN).filter(|chain| !chain.is_empty()) {
        certificates.extend(pem::certificates(chain).ok_or("its chain of certificates is no PEM")?);
    }
    let certificates: Vec<Value> = certificates
        .iter()
        .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
        .collect();
    let parsed = |key: &str| match annotations.get(key) {
        None => Ok(None),
        Some(text) => json::parse(text.as_bytes(), &Shape::Any)
            .map(Some)
            .map_err(|error| format!("its annotation {key:?}: {error}")),
    };
    let entries: Vec<Value> = match parsed(LOG_ENTRY)? {
        Some(value) => vec![entry(&value).ok_or("its entry of the log is damaged")?],
        None => Vec::new(),
    };
    let timestamps: Vec<Value> = match parsed(TIMESTAMP)? {
        Some(value) => {
            let token = value.get("SignedRFC3161Timestamp").cloned();
            vec![json!({"signedTimestamp": token.ok_or("its timestamp is damaged")?})]
        }
        None => Vec::new(),
    };
    let digest = hex::decode(Digest::of(payload).hex()).unwrap_or_default();
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.1",
        "verificationMaterial": {
            "x509CertificateChain": {"certificates": certificates},
            "tlogEntries": entries,
            "timestampVerificationData": {"rfc3161Timestamps": timestamps},
        },
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(digest)},
            "signature": STANDARD.encode(signature),
        },
    });
    Ok(Some(bundle.to_string().into()))
}

/// The log's entry, as bundles have it.
fn entry(value: &Value) -> Option<Value> {
    let payload = value.get("Payload")?;
    let body = payload.get("body")?.as_str()?;
    let kind: Value = serde_json::from_slice(&STANDARD.decode(body).ok()?).ok()?;
    let log = hex::decode(payload.get("logID")?.as_str()?).ok()?;
    Some(json!({
        "logIndex": payload.get("logIndex")?.as_i64()?.to_string(),
        "logId": {"keyId": STANDARD.encode(log)},
        "kindVersion": {"kind": kind.get("kind")?, "version": kind.get("apiVersion")?},
        "integratedTime": payload.get("integratedTime")?.as_i64()?.to_string(),
        "inclusionPromise": {"signedEntryTimestamp": value.get("SignedEntryTimestamp")?},
        "canonicalizedBody": body,
    }))
}
