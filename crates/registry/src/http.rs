//! Building HTTP clients: roots of trust, client certificates, proxies, guarded addresses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::{Certificate, Identity, Url};
use rustls::pki_types::CertificateDer;

use super::address::{AddressScope, GuardedResolver};
use super::error::{Error, ErrorKind};
use super::proxy::Proxies;
use super::settings::HostSettings;
use super::trust::{Trust, unusable};

/// Everything that makes two connections different.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransportSettings {
    /// No TLS at all.
    pub plain: bool,
    /// Certificate authorities besides the system's.
    pub authorities: Vec<PathBuf>,
    /// Client certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Do not verify certificates.
    pub unverified: bool,
    /// Resolve names only to what a registry with this reach may send its clients to.
    pub guard: Option<AddressScope>,
    /// Go past any proxy.
    pub direct: bool,
}

impl TransportSettings {
    /// How to talk to a registry.
    pub fn own(url: &Url, settings: &HostSettings) -> Self {
        let plain = url.scheme() == "http";
        Self {
            plain,
            authorities: if plain {
                Vec::new()
            } else {
                let own = settings.certificate_authorities.iter();
                own.chain(&settings.shared_authorities).cloned().collect()
            },
            identity: settings.client_certificate.clone().filter(|_| !plain),
            unverified: settings.skip_tls_verify && !plain,
            guard: None,
            direct: AddressScope::of_literal(url) == Some(AddressScope::Loopback),
        }
    }

    /// How to talk to another host that a registry of reach `from` names. The registry's private
    /// authorities count there too; its client certificate is not shown.
    pub fn foreign(
        url: &Url,
        settings: &HostSettings,
        registry: &HostSettings,
        from: AddressScope,
    ) -> Self {
        let mut transport_settings = Self::own(url, settings);
        transport_settings.guard = Some(from);
        if !transport_settings.plain {
            let authorities = registry.certificate_authorities.iter();
            for authority in authorities.chain(&registry.shared_authorities) {
                if !transport_settings.authorities.contains(authority) {
                    transport_settings.authorities.push(authority.clone());
                }
            }
        }
        transport_settings
    }
}

/// HTTP clients, one for each transport_settings, built when first needed.
#[derive(Debug)]
pub struct ClientPool {
    user_agent: String,
    connect_timeout: Duration,
    clients: Mutex<HashMap<TransportSettings, reqwest::Client>>,
    roots: OnceLock<Vec<CertificateDer<'static>>>,
    proxies: Proxies,
    proxy_hosts: Arc<[String]>,
}

impl ClientPool {
    /// A pool without clients.
    pub fn new(user_agent: String, connect_timeout: Duration) -> Self {
        let proxies = Proxies::read(|name| std::env::var(name).ok());
        Self {
            user_agent,
            connect_timeout,
            clients: Mutex::default(),
            roots: OnceLock::new(),
            proxy_hosts: proxies.hosts().into(),
            proxies,
        }
    }

    /// The proxy that a request goes through.
    ///
    /// # Errors
    /// When the setting that names it cannot be used.
    pub fn proxy_of(
        &self,
        transport_settings: &TransportSettings,
        url: &Url,
    ) -> Result<Option<String>, Error> {
        if transport_settings.direct {
            return Ok(None);
        }
        self.proxies.of(url)
    }

    /// The client for a transport_settings.
    pub fn get(&self, transport_settings: &TransportSettings) -> Result<reqwest::Client, Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(transport_settings) {
            return Ok(client.clone());
        }
        let client = self.build(transport_settings)?;
        clients.insert(transport_settings.clone(), client.clone());
        Ok(client)
    }

    fn build(&self, transport_settings: &TransportSettings) -> Result<reqwest::Client, Error> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            // Shorter than the 60 s or more that servers keep a connection, so that a request does
            // not run into its end.
            .pool_idle_timeout(Duration::from_secs(50));
        if transport_settings.direct {
            builder = builder.no_proxy();
        }
        if let Some(from) = transport_settings.guard {
            let resolver = GuardedResolver::new(from, Arc::clone(&self.proxy_hosts));
            builder = builder.dns_resolver(Arc::new(resolver));
        }
        if transport_settings.plain {
            // An HTTPS proxy still needs roots; only a direct connection does without.
            if transport_settings.direct || self.proxy_hosts.is_empty() {
                builder = builder.tls_certs_only([]);
            }
        } else if transport_settings.unverified || transport_settings.authorities.is_empty() {
            let roots = self.system_roots().iter();
            builder =
                builder.tls_certs_only(roots.filter_map(|der| Certificate::from_der(der).ok()));
            if let Some((certificate, key)) = &transport_settings.identity {
                builder = builder.identity(read_identity(certificate, key)?);
            }
            if transport_settings.unverified {
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
        } else {
            let trust = Trust {
                roots: self.system_roots(),
                authorities: &transport_settings.authorities,
                identity: transport_settings.identity.as_ref(),
            };
            builder = builder.tls_backend_preconfigured(trust.client_config()?);
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
    fn system_roots(&self) -> &[CertificateDer<'static>] {
        self.roots.get_or_init(|| {
            let native = rustls_native_certs::load_native_certs();
            for error in &native.errors {
                tracing::debug!(%error, "cannot read some system certificates");
            }
            if native.certs.is_empty() {
                webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec()
            } else {
                native.certs
            }
        })
    }
}

fn read_identity(certificate: &PathBuf, key: &PathBuf) -> Result<Identity, Error> {
    let mut pem = fs_err::read(key).map_err(Error::from_io)?;
    pem.push(b'\n');
    pem.extend(fs_err::read(certificate).map_err(Error::from_io)?);
    Identity::from_pem(&pem)
        .map_err(|_| unusable(certificate, "it and its key are no PEM certificate and key"))
}

/// An error and everything that caused it, without repetitions.
pub fn chain(error: &dyn std::error::Error) -> String {
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
    fn one_client_per_manner() {
        let pool = ClientPool::new("t".to_owned(), Duration::from_secs(1));
        let url = "http://127.0.0.1:1/".parse().unwrap();
        let transport_settings = TransportSettings::own(&url, &HostSettings::default());
        assert!(transport_settings.direct && transport_settings.plain);
        pool.get(&transport_settings).unwrap();
        pool.get(&transport_settings).unwrap();
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
        let error = pool
            .get(&TransportSettings::own(&url, &settings))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.why().contains(&file.path().display().to_string()));
    }
}
