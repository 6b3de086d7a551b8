//! Building HTTP clients: roots of trust, client certificates, proxies, guarded addresses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Identity, Url};

use super::address::{GuardedResolver, Reach};
use super::error::{Error, ErrorKind};
use super::settings::HostSettings;

/// Variables that name proxies; reqwest reads the same ones.
const PROXY_VARIABLES: [&str; 6] = [
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
];

/// Everything that makes two connections different.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Manner {
    /// No TLS at all.
    pub(crate) plain: bool,
    /// Certificate authorities besides the system's.
    pub(crate) authorities: Vec<PathBuf>,
    /// Client certificate and key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Do not verify certificates.
    pub(crate) unverified: bool,
    /// Resolve names only to what a registry with this reach may send its clients to.
    pub(crate) guard: Option<Reach>,
    /// Go past any proxy.
    pub(crate) direct: bool,
}

impl Manner {
    /// How to talk to a registry.
    pub(crate) fn own(url: &Url, settings: &HostSettings) -> Self {
        let plain = url.scheme() == "http";
        Self {
            plain,
            authorities: if plain {
                Vec::new()
            } else {
                settings.certificate_authorities.clone()
            },
            identity: settings.client_certificate.clone().filter(|_| !plain),
            unverified: settings.skip_tls_verify && !plain,
            guard: None,
            direct: Reach::of_literal(url) == Some(Reach::Loopback),
        }
    }

    /// How to talk to another host that a registry of reach `from` names. The registry's private
    /// authorities count there too; its client certificate is not shown.
    pub(crate) fn foreign(
        url: &Url,
        settings: &HostSettings,
        registry: &HostSettings,
        from: Reach,
    ) -> Self {
        let mut manner = Self::own(url, settings);
        manner.guard = Some(from);
        if !manner.plain {
            for authority in &registry.certificate_authorities {
                if !manner.authorities.contains(authority) {
                    manner.authorities.push(authority.clone());
                }
            }
        }
        manner
    }
}

/// HTTP clients, one for each manner, built when first needed.
#[derive(Debug)]
pub(crate) struct ClientPool {
    user_agent: String,
    connect_timeout: Duration,
    clients: Mutex<HashMap<Manner, reqwest::Client>>,
    roots: OnceLock<Vec<Certificate>>,
    proxies: Arc<[String]>,
}

impl ClientPool {
    /// A pool without clients.
    pub(crate) fn new(user_agent: String, connect_timeout: Duration) -> Self {
        let proxies = PROXY_VARIABLES
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .filter_map(|value| proxy_host(&value))
            .collect();
        Self {
            user_agent,
            connect_timeout,
            clients: Mutex::default(),
            roots: OnceLock::new(),
            proxies,
        }
    }

    /// The client for a manner.
    pub(crate) fn get(&self, manner: &Manner) -> Result<reqwest::Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(manner) {
            return Ok(client.clone());
        }
        let client = self.build(manner)?;
        clients.insert(manner.clone(), client.clone());
        Ok(client)
    }

    fn build(&self, manner: &Manner) -> Result<reqwest::Client, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            // Shorter than the 60 s or more that servers keep a connection, so that a request does
            // not run into its end.
            .pool_idle_timeout(Duration::from_secs(50));
        if manner.direct {
            builder = builder.no_proxy();
        }
        if let Some(from) = manner.guard {
            let resolver = GuardedResolver::new(from, Arc::clone(&self.proxies));
            builder = builder.dns_resolver(Arc::new(resolver));
        }
        if manner.plain {
            // An HTTPS proxy still needs roots; only a direct connection does without.
            if manner.direct || self.proxies.is_empty() {
                builder = builder.tls_certs_only([]);
            }
        } else {
            let mut certificates = self.system_roots().clone();
            for path in &manner.authorities {
                certificates.extend(read_authorities(path)?);
            }
            builder = builder.tls_certs_only(certificates);
        }
        if let Some((certificate, key)) = &manner.identity {
            builder = builder.identity(read_identity(certificate, key)?);
        }
        if manner.unverified {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("the TLS settings cannot be used: {}", chain(&error)),
            )
            .caused_by(error)
        })
    }

    /// The system's roots (or those of `SSL_CERT_FILE`), or Mozilla's where there are none: many
    /// container images have no certificate store.
    fn system_roots(&self) -> &Vec<Certificate> {
        self.roots.get_or_init(|| {
            let native = rustls_native_certs::load_native_certs();
            for error in &native.errors {
                tracing::debug!(%error, "cannot read some system certificates");
            }
            let parsed: Vec<Certificate> = native
                .certs
                .iter()
                .filter_map(|der| Certificate::from_der(der).ok())
                .collect();
            if parsed.is_empty() {
                webpki_root_certs::TLS_SERVER_ROOT_CERTS
                    .iter()
                    .filter_map(|der| Certificate::from_der(der).ok())
                    .collect()
            } else {
                parsed
            }
        })
    }
}

fn unusable(path: &std::path::Path, why: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {why}", path.display()))
        .hinted("check the certificate files in ohoci's configuration")
}

fn read_authorities(path: &PathBuf) -> Result<Vec<Certificate>, Error> {
    let pem = fs_err::read(path).map_err(Error::from_io)?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(unusable(path, "there is no PEM certificate in it")),
    }
}

fn read_identity(certificate: &PathBuf, key: &PathBuf) -> Result<Identity, Error> {
    let mut pem = fs_err::read(key).map_err(Error::from_io)?;
    pem.push(b'\n');
    pem.extend(fs_err::read(certificate).map_err(Error::from_io)?);
    Identity::from_pem(&pem)
        .map_err(|_| unusable(certificate, "it and its key are no PEM certificate and key"))
}

/// The host name in the value of a proxy variable.
fn proxy_host(value: &str) -> Option<String> {
    let url = Url::parse(value)
        .ok()
        .filter(Url::has_host)
        .or_else(|| Url::parse(&format!("http://{value}")).ok())?;
    url.host_str().map(str::to_owned)
}

/// An error and everything that caused it, without repetitions.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let words = error.to_string();
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_known_however_they_are_written() {
        for value in [
            "http://proxy.example:3128",
            "proxy.example:3128",
            "https://u:p@proxy.example/",
        ] {
            assert_eq!(
                proxy_host(value).as_deref(),
                Some("proxy.example"),
                "{value}"
            );
        }
    }

    #[test]
    fn one_client_per_manner() {
        let pool = ClientPool::new("t".to_owned(), Duration::from_secs(1));
        let url = "http://127.0.0.1:1/".parse().unwrap();
        let manner = Manner::own(&url, &HostSettings::default());
        assert!(manner.direct && manner.plain);
        pool.get(&manner).unwrap();
        pool.get(&manner).unwrap();
        assert_eq!(pool.clients.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_broken_authority_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = HostSettings {
            certificate_authorities: vec![file.path().to_owned()],
            ..HostSettings::default()
        };
        let url = "https://registry.example/".parse().unwrap();
        let pool = ClientPool::new("t".to_owned(), Duration::from_secs(1));
        let error = pool.get(&Manner::own(&url, &settings)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.why().contains(&file.path().display().to_string()));
    }
}
