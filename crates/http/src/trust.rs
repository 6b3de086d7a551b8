//! TLS where a registry has certificates of its own: private authorities, and single certificates
//! that are trusted as they are.
//!
//! A certificate that is given as trust is trusted, also when it is the server's own and no
//! authority's: people make one self-signed certificate and copy it to their clients
//! (distribution's own documentation does). curl and Go's `crypto/x509` take it; webpki alone does
//! not. Its dates and the host's name are checked as of any other.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::error::TransportError;

/// What a client trusts besides the system's roots, and what it shows.
#[derive(Debug)]
pub(crate) struct Trust<'a> {
    /// The system's roots.
    pub(crate) roots: &'a [CertificateDer<'static>],
    /// PEM files of what is trusted besides.
    pub(crate) authorities: &'a [PathBuf],
    /// PEM files of a client certificate and its key.
    pub(crate) identity: Option<&'a (PathBuf, PathBuf)>,
}

impl Trust<'_> {
    /// The TLS settings that it comes to.
    ///
    /// # Errors
    /// When a file cannot be read or used.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, TransportError> {
        let mut own = Vec::new();
        for path in self.authorities {
            own.extend(read_certificates(path)?);
        }
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(self.roots.iter().chain(&own).cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                .build()
                .map_err(TransportError::tls)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TransportError::tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(OrAsGiven { inner, own }));
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let pair = read_certificates(certificate)
                    .ok()
                    .zip(PrivateKeyDer::from_pem_file(key).ok());
                let (chain, key) = pair.ok_or_else(|| {
                    unusable(certificate, "it and its key are no PEM certificate and key")
                })?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(TransportError::tls)?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let pem = fs_err::read(path).map_err(TransportError::Unreadable)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(unusable(path, "there is no PEM certificate in it")),
    }
}

pub(crate) fn unusable(path: &Path, why: &'static str) -> TransportError {
    TransportError::Certificate {
        path: path.to_owned(),
        why,
    }
}

/// Takes what webpki takes, and a server's certificate that is byte for byte one of those given.
#[derive(Debug)]
struct OrAsGiven {
    inner: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for OrAsGiven {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let outcome = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match outcome {
            // webpki has looked at the dates before it finds either.
            Err(rustls::Error::InvalidCertificate(reason))
                if is_about_issuer(&reason) && self.own.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether only the issuer of a certificate is wrong: unknown, or an authority
/// that is its own server.
fn is_about_issuer(reason: &CertificateError) -> bool {
    match reason {
        CertificateError::UnknownIssuer => true,
        CertificateError::Other(other) => format!("{other:?}").contains("CaUsedAsEndEntity"),
        _ => false,
    }
}
