//! A Sigstore of a test's own: an authority for certificates of one signature, a log of certificates, a
//! transparency log, and the trusted root that names them. Dates are days of March 2025.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
    SerialNumber, SigningKey as _, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The issuer of logins, as Fulcio writes it.
const ISSUER: [u64; 9] = [1, 3, 6, 1, 4, 1, 57264, 1, 8];
/// Promises of logs of certificates (RFC 6962).
const PROMISES: [u64; 10] = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];

/// Noon of the day on which certificates are valid.
pub(crate) const IN_TIME: i64 = 1_740_830_400;
/// A week later.
pub(crate) const TOO_LATE: i64 = IN_TIME + 7 * 86_400;
/// A time that has not come yet.
pub(crate) const IN_FUTURE: i64 = 4_102_444_800;

/// The services.
pub(crate) struct Sigstore {
    authority: CertifiedIssuer<'static, KeyPair>,
    certificate_log: KeyPair,
    log: KeyPair,
}

/// A login, and what its certificate lacks or says wrongly.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) identity: String,
    pub(crate) issuer: String,
    /// Whether the log of certificates has its certificate.
    pub(crate) is_logged: bool,
    /// When the transparency log says that it got the signature.
    pub(crate) at: i64,
}

/// A key, and a certificate for it.
struct Certified {
    key: KeyPair,
    der: Vec<u8>,
    pem: String,
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

impl Sigstore {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test's Sigstore");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self {
            authority: CertifiedIssuer::self_signed(params, key).unwrap(),
            certificate_log: KeyPair::generate().unwrap(),
            log: KeyPair::generate().unwrap(),
        }
    }

    /// The trusted root.
    pub(crate) fn trusted_root(&self) -> Value {
        let log = |key: &KeyPair| {
            let der = key.subject_public_key_info();
            json!({
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": encoded(&der),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": encoded(sha256(&der))},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(&self.log)],
            "certificateAuthorities": [{
                "subject": {"organization": "a test", "commonName": "authority"},
                "uri": "https://authority.example",
                "certChain": {"certificates": [{"rawBytes": encoded(self.authority.der())}]},
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            }],
            "ctlogs": [log(&self.certificate_log)],
            "timestampAuthorities": [],
        })
    }

    /// The authority's certificate in PEM.
    pub(crate) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// The transparency log's key in PEM.
    pub(crate) fn log_pem(&self) -> String {
        self.log.public_key_pem()
    }

    /// A bundle with a statement that the login signed.
    pub(crate) fn bundle(&self, login: &Login, statement: &Value) -> Value {
        let certified = self.certify(login);
        let kind = "application/vnd.in-toto+json";
        let payload = statement.to_string();
        let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
        let signature = certified.key.sign(signed.as_bytes()).unwrap();
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hex(&sha256(b"the envelope"))},
                "payloadHash": {"algorithm": "sha256", "value": hex(&sha256(payload.as_bytes()))},
                "signatures": [{
                    "signature": encoded(&signature),
                    "verifier": encoded(&certified.pem),
                }],
            },
        });
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": encoded(&certified.der)},
                "tlogEntries": [self.entry(&body, login.at)],
            },
            "dsseEnvelope": {
                "payload": encoded(&payload),
                "payloadType": kind,
                "signatures": [{"sig": encoded(&signature)}],
            },
        })
    }

    /// The annotations of a payload that the login signed, as cosign's older form has them.
    pub(crate) fn annotations(&self, login: &Login, payload: &[u8]) -> Value {
        let certified = self.certify(login);
        let signature = encoded(certified.key.sign(payload).unwrap());
        let body = json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex(&sha256(payload))}},
                "signature": {
                    "content": signature,
                    "publicKey": {"content": encoded(&certified.pem)},
                },
            },
        });
        let entry = self.entry(&body, login.at);
        let log = sha256(&self.log.subject_public_key_info());
        let bundle = json!({
            "SignedEntryTimestamp": entry["inclusionPromise"]["signedEntryTimestamp"],
            "Payload": {
                "body": entry["canonicalizedBody"],
                "integratedTime": login.at,
                "logIndex": 0,
                "logID": hex(&log),
            },
        });
        json!({
            "dev.cosignproject.cosign/signature": signature,
            "dev.sigstore.cosign/certificate": certified.pem,
            "dev.sigstore.cosign/chain": self.authority.pem(),
            "dev.sigstore.cosign/bundle": bundle.to_string(),
        })
    }

    /// What the transparency log answers: its promise, and the proof that it holds the entry.
    fn entry(&self, body: &Value, at: i64) -> Value {
        let body = body.to_string().into_bytes();
        let der = self.log.subject_public_key_info();
        let log = sha256(&der);
        // Canonical: keys in order, nothing between them.
        let promised = format!(
            r#"{{"body":"{}","integratedTime":{at},"logID":"{}","logIndex":0}}"#,
            encoded(&body),
            hex(&log),
        );
        let promise = self.log.sign(promised.as_bytes()).unwrap();
        // The log has two entries, of which this is the first (RFC 6962, section 2.1).
        let leaf = sha256(&[&[0], body.as_slice()].concat());
        let other = sha256(b"\0another entry");
        let root = sha256(&[&[1], leaf.as_slice(), other.as_slice()].concat());
        let note = format!("log.example\n2\n{}\n", encoded(root));
        let signature = self.log.sign(note.as_bytes()).unwrap();
        let signature = encoded([&log[..4], signature.as_slice()].concat());
        json!({
            "logIndex": "0",
            "logId": {"keyId": encoded(log)},
            "kindVersion": {"kind": body_of(&body, "kind"), "version": body_of(&body, "apiVersion")},
            "integratedTime": at.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": encoded(promise)},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": encoded(root),
                "treeSize": "2",
                "hashes": [encoded(other)],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example {signature}\n")},
            },
            "canonicalizedBody": encoded(&body),
        })
    }

    fn certify(&self, login: &Login) -> Certified {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(7));
        params.not_before = date_time_ymd(2025, 3, 1);
        params.not_after = date_time_ymd(2025, 3, 2);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let identity = login.identity.as_str().try_into().unwrap();
        params.subject_alt_names = vec![if login.identity.contains("://") {
            SanType::URI(identity)
        } else {
            SanType::Rfc822Name(identity)
        }];
        let issuer = der(0x0c, login.issuer.as_bytes());
        params.custom_extensions = vec![CustomExtension::from_oid_content(&ISSUER, issuer)];
        let before = params.signed_by(&key, &self.authority).unwrap();
        if login.is_logged {
            let promises = self.promises(tbs(before.der()));
            params
                .custom_extensions
                .push(CustomExtension::from_oid_content(&PROMISES, promises));
        }
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        Certified {
            key,
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
        }
    }

    /// The list of one promise that the log of certificates will have the certificate (RFC 6962, sections 3.2
    /// and 3.3).
    fn promises(&self, tbs: &[u8]) -> Vec<u8> {
        let time = (IN_TIME as u64 * 1000).to_be_bytes();
        let issuer = sha256(&self.authority.key().subject_public_key_info());
        let length = u32::try_from(tbs.len()).unwrap().to_be_bytes();
        let signed = [
            &[0, 0],
            time.as_slice(),
            &[0, 1],
            &issuer,
            &length[1..],
            tbs,
            &[0, 0],
        ]
        .concat();
        let signature = self.certificate_log.sign(&signed).unwrap();
        let log = sha256(&self.certificate_log.subject_public_key_info());
        let counted = |bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
            [length.as_slice(), bytes].concat()
        };
        let promise = [
            &[0],
            log.as_slice(),
            &time,
            &[0, 0],
            // ECDSA over SHA-256.
            &[4, 3],
            &counted(&signature),
        ]
        .concat();
        der(0x04, &counted(&counted(&promise)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn body_of(body: &[u8], key: &str) -> Value {
    serde_json::from_slice::<Value>(body).unwrap()[key].clone()
}

/// An element of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match content.len() {
        0..128 => vec![tag, length[1]],
        128..256 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    [head.as_slice(), content].concat()
}

/// What is signed of a certificate: the first element of it.
fn tbs(certificate: &[u8]) -> &[u8] {
    let inner = &certificate[head(certificate).0..];
    let (start, length) = head(inner);
    &inner[..start + length]
}

/// Where an element's content starts, and how long it is.
fn head(element: &[u8]) -> (usize, usize) {
    match element[1] {
        short @ 0..=127 => (2, usize::from(short)),
        0x81 => (3, usize::from(element[2])),
        _ => (4, usize::from(u16::from_be_bytes([element[2], element[3]]))),
    }
}
