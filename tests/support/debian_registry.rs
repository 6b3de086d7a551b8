//! Debian's `docker-registry` in the variants that tests want.

use std::net::SocketAddr;

use tempfile::TempDir;
use testbed::docker_registry::{Auth, DockerRegistry, Settings, Tls};

use super::certificates::Authority;
use super::peer::{Access, Peer};
use super::token_server::{ISSUER, SERVICE, TokenServer};

/// The user that [`DebianRegistry::with_password`] and token servers know, and the password.
pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "open sesame";

/// A line of a htpasswd file for them: made by `htpasswd -Bbn`, since the registry takes only bcrypt.
pub(crate) const HTPASSWD: &str =
    "tester:$2y$05$mWGzfIdlY73bR1X/Xw.5rO5Mwl5F.pnW0UpM3VOH/24cuAFsGAng6\n";

/// A running registry and the files it needs.
pub(crate) struct DebianRegistry {
    registry: DockerRegistry,
    scheme: &'static str,
    _files: Option<TempDir>,
}

impl DebianRegistry {
    /// Open to everybody; deleting is allowed.
    pub(crate) fn open() -> Self {
        Self::start(
            "http",
            &Settings {
                delete: true,
                ..Settings::default()
            },
            None,
        )
    }

    /// Only for [`USER`] with [`PASSWORD`].
    pub(crate) fn with_password() -> Self {
        let files = TempDir::new().unwrap();
        let file = files.path().join("htpasswd");
        fs_err::write(&file, HTPASSWD).unwrap();
        let settings = Settings {
            auth: Some(Auth::Htpasswd(file)),
            ..Settings::default()
        };
        Self::start("http", &settings, Some(files))
    }

    /// Only with tokens of this server.
    pub(crate) fn with_tokens(server: &TokenServer) -> Self {
        let files = TempDir::new().unwrap();
        let certificates = files.path().join("signers.pem");
        fs_err::write(&certificates, server.certificate()).unwrap();
        let auth = Auth::Token {
            realm: server.realm(),
            service: SERVICE.into(),
            issuer: ISSUER.into(),
            certificates,
        };
        let settings = Settings {
            auth: Some(auth),
            ..Settings::default()
        };
        Self::start("http", &settings, Some(files))
    }

    /// The same over HTTPS; clients are sent to `realm` for tokens.
    pub(crate) fn with_tokens_over_tls(
        server: &TokenServer,
        realm: String,
        authority: &Authority,
    ) -> Self {
        let files = TempDir::new().unwrap();
        let certificates = files.path().join("signers.pem");
        fs_err::write(&certificates, server.certificate()).unwrap();
        let auth = Auth::Token {
            realm,
            service: SERVICE.into(),
            issuer: ISSUER.into(),
            certificates,
        };
        let settings = Settings {
            auth: Some(auth),
            tls: Some(authority.server(false)),
            ..Settings::default()
        };
        Self::start("https", &settings, Some(files))
    }

    /// Over HTTPS; `clients` asks for a certificate of the same authority.
    pub(crate) fn with_tls(authority: &Authority, clients: bool) -> Self {
        Self::start(
            "https",
            &Settings {
                tls: Some(authority.server(clients)),
                ..Settings::default()
            },
            None,
        )
    }

    /// Over HTTPS, with this certificate.
    pub(crate) fn with_own_certificate(tls: &Tls) -> Self {
        let tls = Tls {
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            client_authority: None,
        };
        let settings = Settings {
            tls: Some(tls),
            ..Settings::default()
        };
        Self::start("https", &settings, None)
    }

    fn start(scheme: &'static str, settings: &Settings, files: Option<TempDir>) -> Self {
        let registry = DockerRegistry::start(settings).unwrap_or_else(|error| panic!("{error}"));
        Self {
            registry,
            scheme,
            _files: files,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.registry.address()
    }

    /// `127.0.0.1:PORT`, the host part of a reference.
    pub(crate) fn host(&self) -> String {
        self.address().to_string()
    }

    /// A peer that may do everything here which `access` allows.
    pub(crate) fn peer(&self, access: Access) -> Peer {
        Peer::new(
            &format!("{}://{}", self.scheme, self.host()),
            access,
            None,
            None,
        )
    }

    /// A peer with a token, over HTTPS.
    pub(crate) fn tls_token_peer(&self, authority: &Authority, token: String) -> Peer {
        let url = format!("{}://{}", self.scheme, self.host());
        Peer::new(&url, Access::Token(token), Some(authority), None)
    }

    /// The same over HTTPS.
    pub(crate) fn tls_peer(&self, authority: &Authority, as_client: bool) -> Peer {
        let url = format!("{}://{}", self.scheme, self.host());
        let client = as_client.then(|| authority.client());
        Peer::new(&url, Access::Anonymous, Some(authority), client.as_ref())
    }
}
