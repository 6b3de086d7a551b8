//! Debian's `docker-registry` (CNCF distribution), with its own storage and on its own port.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a registry may take to listen on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What differs from a registry that is open over plain HTTP.
///
/// Paths go into the registry's configuration as they are; see its `configuration.md` for the keys.
#[derive(Debug, Default, Clone)]
pub struct Settings {
    /// Who may do what.
    pub auth: Option<Auth>,
    /// Serve HTTPS.
    pub tls: Option<Tls>,
    /// Let clients delete manifests and blobs.
    pub delete: bool,
    /// Answer with relative `Location` headers.
    pub relative_urls: bool,
}

/// Ways to check a client.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Basic authentication against a file of names and bcrypt hashes.
    Htpasswd(PathBuf),
    /// Bearer tokens of a token server.
    Token {
        /// Where the registry sends clients for a token.
        realm: String,
        /// The audience that tokens must name.
        service: String,
        /// The issuer that tokens must name.
        issuer: String,
        /// Certificates of the keys that may sign tokens, as PEM.
        certificates: PathBuf,
    },
}

/// Certificate and key, as PEM files.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Clients must show a certificate of this authority.
    pub client_authority: Option<PathBuf>,
}

/// A running registry; it ends, and what it stored is deleted, when this is dropped.
#[derive(Debug)]
pub struct DockerRegistry {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

impl DockerRegistry {
    /// Starts a registry and waits until it listens.
    ///
    /// # Errors
    /// When the package is not installed or the registry ends instead of listening; the error then
    /// carries what the registry wrote.
    pub fn start(settings: &Settings) -> io::Result<Self> {
        let directory = TempDir::with_prefix("docker-registry-")?;
        let config = directory.path().join("config.yml");
        let log = directory.path().join("log");
        fs_err::write(
            &config,
            configuration(settings, &directory.path().join("data")),
        )?;
        let out = fs_err::File::create(&log)?.into_parts().0;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => io::Error::new(
                    error.kind(),
                    "docker-registry is not installed; run cargo xtask test",
                ),
                _ => error,
            })?;
        let mut registry = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            directory,
        };
        registry.address = registry.wait(&log)?;
        Ok(registry)
    }

    /// Where the registry listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The directory with everything it stores.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The registry picks the port itself and writes it to its log, so two that start at the same
    /// time cannot get into each other's way.
    fn wait(&mut self, log: &Path) -> io::Result<SocketAddr> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs_err::read_to_string(log)?;
            if let Some(address) = listening(&text) {
                return Ok(address);
            }
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "docker-registry does not listen: {}",
                    text.trim()
                )));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        // Already gone is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address after `listening on`, which the registry logs as `127.0.0.1:40001` or
/// `127.0.0.1:40001, tls`.
fn listening(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("listening on ")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'))?;
    rest.get(..end)?.parse().ok()
}

fn configuration(settings: &Settings, data: &Path) -> String {
    let mut text = format!(
        "version: 0.1\nlog:\n  level: info\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
         delete:\n    enabled: {}\n  maintenance:\n    uploadpurging:\n      enabled: false\nhttp:\n  addr: 127.0.0.1:0\n  \
         secret: only-for-tests\n  relativeurls: {}\n",
        data.display(),
        settings.delete,
        settings.relative_urls,
    );
    if let Some(tls) = &settings.tls {
        let _ = write!(
            text,
            "  tls:\n    certificate: {}\n    key: {}\n",
            tls.certificate.display(),
            tls.key.display()
        );
        if let Some(authority) = &tls.client_authority {
            let _ = write!(text, "    clientcas:\n      - {}\n", authority.display());
        }
    }
    match &settings.auth {
        None => {}
        Some(Auth::Htpasswd(file)) => {
            let _ = write!(
                text,
                "auth:\n  htpasswd:\n    realm: tests\n    path: {}\n",
                file.display()
            );
        }
        Some(Auth::Token {
            realm,
            service,
            issuer,
            certificates,
        }) => {
            let _ = write!(
                text,
                "auth:\n  token:\n    realm: {realm}\n    service: {service}\n    issuer: {issuer}\n    rootcertbundle: {}\n",
                certificates.display()
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line = r#"time="x" level=info msg="listening on 127.0.0.1:40001" go.version=go1.19"#;
        assert_eq!(
            listening(line),
            Some(SocketAddr::from(([127, 0, 0, 1], 40001)))
        );
        let line = r#"level=info msg="listening on 127.0.0.1:7, tls""#;
        assert_eq!(listening(line), Some(SocketAddr::from(([127, 0, 0, 1], 7))));
        assert_eq!(
            listening(r#"msg="listening on 127.0.0.1:40"#),
            None,
            "may still be written"
        );
    }
}
