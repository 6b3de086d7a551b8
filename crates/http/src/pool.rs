//! Building HTTP clients: roots of trust, client certificates, proxies, guarded addresses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::{Certificate, Identity, Url};
use rustls::pki_types::CertificateDer;

use super::address::{AddressScope, GuardedResolver};
use super::client::{HttpClient, IDLE, Sparing};
use super::error::TransportError;
use super::proxy::Proxies;
use super::trust::{Trust, unusable};

/// What is set about TLS with one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM files of certificate authorities to trust besides the system's.
    pub authorities: Vec<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Do not verify the server's certificate.
    pub unverified: bool,
}

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
    /// Resolve names only to what a server with this scope may send its clients to.
    pub guard: Option<AddressScope>,
    /// Go past any proxy.
    pub direct: bool,
    /// For bodies that move as slowly as whoever reads them: each has its connection to itself, since those
    /// that share one (HTTP/2) wait for each other, and little is read ahead.
    pub slow: bool,
}

impl TransportSettings {
    /// How to talk to a host.
    #[must_use]
    pub fn own(url: &Url, tls: &TlsSettings) -> Self {
        let plain = url.scheme() == "http";
        let tls = if plain {
            TlsSettings::default()
        } else {
            tls.clone()
        };
        Self {
            plain,
            authorities: tls.authorities,
            identity: tls.identity,
            unverified: tls.unverified,
            guard: None,
            direct: AddressScope::of_literal(url) == Some(AddressScope::Loopback),
            slow: false,
        }
    }

    /// How to talk to another host that a server of scope `from` names. The server's private
    /// authorities count there too; its client certificate is not shown.
    #[must_use]
    pub fn foreign(url: &Url, tls: &TlsSettings, server: &TlsSettings, from: AddressScope) -> Self {
        let mut transport_settings = Self::own(url, tls);
        transport_settings.guard = Some(from);
        if !transport_settings.plain {
            for authority in &server.authorities {
                if !transport_settings.authorities.contains(authority) {
                    transport_settings.authorities.push(authority.clone());
                }
            }
        }
        transport_settings
    }
}

/// HTTP clients, one for each [`TransportSettings`], built when first needed.
#[derive(Debug)]
pub struct ClientPool {
    user_agent: String,
    connect_timeout: Duration,
    clients: Mutex<HashMap<TransportSettings, reqwest::Client>>,
    sparing: OnceLock<Arc<Sparing>>,
    roots: OnceLock<Vec<CertificateDer<'static>>>,
    proxies: Proxies,
    proxy_hosts: Arc<[String]>,
}

impl ClientPool {
    /// A pool without clients.
    #[must_use]
    pub fn new(user_agent: String, connect_timeout: Duration) -> Self {
        let proxies = Proxies::read(|name| std::env::var(name).ok());
        Self {
            user_agent,
            connect_timeout,
            clients: Mutex::default(),
            sparing: OnceLock::new(),
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
    ) -> Result<Option<String>, TransportError> {
        if transport_settings.direct {
            return Ok(None);
        }
        self.proxies.of(url)
    }

    /// The client for these settings.
    ///
    /// # Errors
    /// When a certificate file cannot be read or used.
    pub fn get(
        &self,
        transport_settings: &TransportSettings,
    ) -> Result<reqwest::Client, TransportError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(transport_settings) {
            return Ok(client.clone());
        }
        let client = self.build(transport_settings)?;
        clients.insert(transport_settings.clone(), client.clone());
        Ok(client)
    }

    /// What sends a request to `url` by these settings.
    ///
    /// # Errors
    /// When a certificate file cannot be read or used, or a variable names a proxy that cannot be used.
    pub fn client_for(
        &self,
        transport_settings: &TransportSettings,
        url: &Url,
    ) -> Result<(HttpClient, Option<String>), TransportError> {
        let proxy = self.proxy_of(transport_settings, url)?;
        let is_bare =
            transport_settings.plain && transport_settings.guard.is_none() && proxy.is_none();
        let client = if transport_settings.slow && is_bare {
            let sparing = self
                .sparing
                .get_or_init(|| Arc::new(Sparing::new(&self.user_agent, self.connect_timeout)));
            HttpClient::sparing(Arc::clone(sparing))
        } else {
            HttpClient::usual(self.get(transport_settings)?)
        };
        Ok((client, proxy))
    }

    fn build(
        &self,
        transport_settings: &TransportSettings,
    ) -> Result<reqwest::Client, TransportError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(self.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE);
        if transport_settings.slow {
            builder = builder.http1_only();
        }
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
        builder.build().map_err(TransportError::tls)
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

fn read_identity(certificate: &PathBuf, key: &PathBuf) -> Result<Identity, TransportError> {
    let mut pem = fs_err::read(key).map_err(TransportError::Unreadable)?;
    pem.push(b'\n');
    pem.extend(fs_err::read(certificate).map_err(TransportError::Unreadable)?);
    Identity::from_pem(&pem)
        .map_err(|_| unusable(certificate, "it and its key are no PEM certificate and key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_the_same_settings_share_a_client() {
        let pool = ClientPool::new("t".to_owned(), Duration::from_secs(1));
        let url = "http://127.0.0.1:1/".parse().unwrap();
        let transport_settings = TransportSettings::own(&url, &TlsSettings::default());
        assert!(transport_settings.direct && transport_settings.plain);
        pool.get(&transport_settings).unwrap();
        pool.get(&transport_settings).unwrap();
        assert_eq!(pool.clients.lock().len(), 1);
    }

    #[test]
    fn a_broken_authority_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = TlsSettings {
            authorities: vec![file.path().to_owned()],
            ..TlsSettings::default()
        };
        let url = "https://registry.example/".parse().unwrap();
        let pool = ClientPool::new("t".to_owned(), Duration::from_secs(1));
        let error = pool
            .get(&TransportSettings::own(&url, &settings))
            .unwrap_err();
        let TransportError::Certificate { path, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(path, file.path());
        assert!(error.to_string().starts_with(&path.display().to_string()));
    }
}
