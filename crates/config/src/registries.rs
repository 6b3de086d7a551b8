//! Settings per registry: the `[registry."HOST"]` tables.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::Error as _;

use ohoci_image::RegistryReference;

/// The table whose settings count for every host that has no more special ones.
pub(super) const EVERY_HOST: &str = "*";

/// How a registry is talked to. A field that is `None` or empty leaves it to the client.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegistrySettings {
    /// Whether to talk plain HTTP.
    pub plain_http: Option<bool>,
    /// Where else to pull from, in this order, before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// Files of certificates to trust besides the machine's, in PEM.
    pub ca: Vec<PathBuf>,
    /// The certificate to show to the registry.
    pub client_identity: Option<ClientIdentity>,
    /// How many requests to start per second; finite and above zero.
    pub requests_per_second: Option<f64>,
    /// How many requests to have under way at once.
    pub concurrency: Option<NonZeroU32>,
    /// Whether the registry takes a blob with the request that opens the upload.
    pub single_post: Option<bool>,
    /// Whether to take any certificate.
    pub skip_tls_verify: Option<bool>,
    /// How many bytes of a blob to send at once, at most.
    pub chunk_size: Option<u64>,
}

/// A place that has copies of a registry's repositories: `host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its host and port.
    pub host: String,
    /// What stands before the repository there, without slashes around it; often empty.
    pub prefix: String,
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

/// A certificate and its key, in PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The file with the certificate and those that lead to its issuer.
    pub certificate: PathBuf,
    /// The file with the private key.
    pub key: PathBuf,
}

/// One table as it stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(try_from = "RawTable")]
pub(super) struct RegistryTable {
    plain_http: Option<bool>,
    mirrors: Option<Vec<Mirror>>,
    ca: Option<Vec<PathBuf>>,
    client_identity: Option<ClientIdentity>,
    requests_per_second: Option<f64>,
    concurrency: Option<NonZeroU32>,
    single_post: Option<bool>,
    skip_tls_verify: Option<bool>,
    chunk_size: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawTable {
    plain_http: Option<bool>,
    mirrors: Option<Vec<Mirror>>,
    ca: Option<Vec<PathBuf>>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    requests_per_second: Option<Rate>,
    concurrency: Option<NonZeroU32>,
    single_post: Option<bool>,
    skip_tls_verify: Option<bool>,
    chunk_size: Option<u64>,
}

/// The smallest chunk, in bytes: with less, a layer takes thousands of requests.
const LEAST_CHUNK: u64 = 64 << 10;

impl TryFrom<RawTable> for RegistryTable {
    type Error = &'static str;

    fn try_from(raw: RawTable) -> Result<Self, Self::Error> {
        let client_identity = match (raw.client_certificate, raw.client_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(ClientIdentity { certificate, key }),
            (Some(_), None) => return Err("client-certificate needs client-key beside it"),
            (None, Some(_)) => return Err("client-key needs client-certificate beside it"),
        };
        if raw.chunk_size.is_some_and(|size| size < LEAST_CHUNK) {
            return Err("chunk-size is in bytes, and at least 65536");
        }
        Ok(Self {
            plain_http: raw.plain_http,
            mirrors: raw.mirrors,
            ca: raw.ca,
            client_identity,
            requests_per_second: raw.requests_per_second.map(|rate| rate.0),
            concurrency: raw.concurrency,
            single_post: raw.single_post,
            skip_tls_verify: raw.skip_tls_verify,
            chunk_size: raw.chunk_size,
        })
    }
}

impl RegistryTable {
    /// Makes paths relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        for path in self.ca.iter_mut().flatten() {
            *path = directory.join(&*path);
        }
        if let Some(identity) = &mut self.client_identity {
            identity.certificate = directory.join(&identity.certificate);
            identity.key = directory.join(&identity.key);
        }
    }

    /// The first setting here that decides how a registry is reached or who is trusted for it.
    pub(super) fn reaches_elsewhere(&self) -> Option<&'static str> {
        [
            ("plain-http", self.plain_http.is_some()),
            ("mirrors", self.mirrors.is_some()),
            ("ca", self.ca.is_some()),
            ("client-certificate", self.client_identity.is_some()),
            ("skip-tls-verify", self.skip_tls_verify.is_some()),
        ]
        .into_iter()
        .find_map(|(key, is_set)| is_set.then_some(key))
    }

    /// Sets in `settings` what this table sets.
    pub(super) fn apply_to(&self, settings: &mut RegistrySettings) {
        fn set<T: Clone>(target: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                target.clone_from(value);
            }
        }
        set(&mut settings.mirrors, self.mirrors.as_ref());
        set(&mut settings.ca, self.ca.as_ref());
        settings.plain_http = self.plain_http.or(settings.plain_http);
        settings.client_identity =
            (self.client_identity.clone()).or_else(|| settings.client_identity.take());
        settings.requests_per_second = self.requests_per_second.or(settings.requests_per_second);
        settings.concurrency = self.concurrency.or(settings.concurrency);
        settings.single_post = self.single_post.or(settings.single_post);
        settings.skip_tls_verify = self.skip_tls_verify.or(settings.skip_tls_verify);
        settings.chunk_size = self.chunk_size.or(settings.chunk_size);
    }
}

/// Tables by host.
pub(super) type RegistryTables = BTreeMap<HostKey, RegistryTable>;

/// A host as it stands in references, or [`EVERY_HOST`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostKey(String);

impl std::fmt::Display for HostKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for HostKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for HostKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if matches!(text.as_str(), "index.docker.io" | "registry-1.docker.io") {
            return Err(D::Error::custom(format!(
                "{text:?} is called \"docker.io\" here, as in references"
            )));
        }
        if text == EVERY_HOST || is_host(&text) {
            return Ok(Self(text));
        }
        Err(D::Error::custom(format!(
            "{text:?} is no host; expected host, host:port or \"{EVERY_HOST}\""
        )))
    }
}

impl<'de> Deserialize<'de> for Mirror {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (host, prefix) = text.split_once('/').unwrap_or((&text, ""));
        let prefix = prefix.trim_end_matches('/');
        let sound = if prefix.is_empty() {
            is_host(host)
        } else {
            RegistryReference::new(host, prefix, None, None).is_ok()
        };
        if !sound {
            return Err(D::Error::custom(format!(
                "{text:?} is no mirror; expected host[:port][/path], without a scheme"
            )));
        }
        Ok(Self {
            host: host.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

struct Rate(f64);

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rate = f64::deserialize(deserializer)?;
        if rate.is_finite() && rate > 0.0 {
            Ok(Self(rate))
        } else {
            Err(D::Error::custom("expected a number above zero"))
        }
    }
}

fn is_host(text: &str) -> bool {
    RegistryReference::new(text, "any", None, None).is_ok()
}
