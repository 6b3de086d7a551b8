//! Certificate and key of a server that speaks HTTPS.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::reloaded::{FileError, Reloaded};

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file with the server's certificate, and behind it those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM file with the certificate's private key.
    pub key: PathBuf,
}

/// Reads the files, and from then on whenever they have changed.
pub(super) fn open(files: &TlsFiles) -> Result<Reloaded<ServerConfig>, FileError> {
    let paths = vec![files.certificate.clone(), files.key.clone()];
    let files = files.clone();
    Reloaded::open(paths, move || read(&files))
}

fn read(files: &TlsFiles) -> Result<ServerConfig, FileError> {
    let chain = certificates(&files.certificate)?;
    let key = key(&files.key)?;
    let unusable = |error: tokio_rustls::rustls::Error| {
        FileError::new(format!(
            "{} and {} cannot be used together: {error}",
            files.certificate.display(),
            files.key.display()
        ))
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let pem = content(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| FileError::new(format!("{}: {error}", path.display())))?;
    if chain.is_empty() {
        return Err(FileError::new(format!(
            "{} holds no certificate in PEM",
            path.display()
        )));
    }
    Ok(chain)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let pem = content(path)?;
    // The library's words name a section, never what is in it.
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        FileError::new(format!("{} holds no private key in PEM", path.display()))
            .hinted("a key with a passphrase has to be decrypted first")
    })
}

fn content(path: &Path) -> Result<Vec<u8>, FileError> {
    fs_err::read(path).map_err(|error| FileError::new(error.to_string()))
}
