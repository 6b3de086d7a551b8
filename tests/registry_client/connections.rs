//! TLS, client certificates and proxies.

use std::path::Path;
use std::sync::Arc;

use ohoci_image::media_type::OCI_MANIFEST;
use ohoci_registry::{Credential, ErrorKind, HostSettings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::scripted_registry::{Answer, Scripted};
use super::support::*;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key, in PEM.
    fn issue(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn write(&self, path: &Path) {
        fs_err::write(path, self.0.pem()).unwrap();
    }
}

/// A registry that answers every request with the same manifest, over TLS.
async fn registry(authority: &Authority, wants_client_certificate: bool) -> String {
    let (certificate, key) = authority.issue();
    let builder = ServerConfig::builder();
    let builder = if wants_client_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = builder
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.ok()?;
                let mut request = [0; 4096];
                while stream.read(&mut request).await.ok()? > 0 {
                    let manifest = manifest();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: {OCI_MANIFEST}\r\ncontent-length: {}\r\n\r\n",
                        manifest.bytes().len()
                    );
                    stream.write_all(head.as_bytes()).await.ok()?;
                    stream.write_all(manifest.bytes()).await.ok()?;
                }
                Some(())
            });
        }
    });
    host
}

async fn read(host: &str, settings: HostSettings) -> Result<(), ohoci_registry::Error> {
    let client = client_with(Credential::Anonymous, settings);
    let repository = client.repository(host, "a/b");
    repository.manifest(&tag()).await.map(|_| ())
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_configured() {
    let files = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(), Authority::new());
    ours.write(&files.path().join("ours.pem"));
    other.write(&files.path().join("other.pem"));
    let host = registry(&ours, false).await;
    let trusting = |name: &str| HostSettings {
        certificate_authorities: vec![files.path().join(name)],
        ..HostSettings::default()
    };
    read(&host, trusting("ours.pem")).await.unwrap();
    let error = read(&host, trusting("other.pem")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.why().contains("is not trusted"), "{error}");
    let unverified = HostSettings {
        skip_tls_verify: true,
        ..trusting("other.pem")
    };
    read(&host, unverified).await.unwrap();
    let error = read(&host, trusting("missing.pem")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.why().contains("missing.pem"), "{error}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_it_is_configured() {
    let files = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let path = |name: &str| files.path().join(name);
    authority.write(&path("ca.pem"));
    let (certificate, key) = authority.issue();
    fs_err::write(path("client.pem"), certificate).unwrap();
    fs_err::write(path("client.key"), key).unwrap();
    let host = registry(&authority, true).await;
    let nobody = HostSettings {
        certificate_authorities: vec![path("ca.pem")],
        ..HostSettings::default()
    };
    let error = read(&host, nobody.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(
        error.why().contains("wants a client certificate"),
        "{error}"
    );
    let somebody = HostSettings {
        client_certificate: Some((path("client.pem"), path("client.key"))),
        ..nobody
    };
    read(&host, somebody).await.unwrap();
}

#[tokio::test]
async fn tls_where_plain_http_was_expected_is_an_error() {
    let host = registry(&Authority::new(), false).await;
    let error = read(&host, HostSettings::default()).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Server | ErrorKind::Unreachable),
        "{error:?}"
    );
}

/// Set in the child process, whose proxy is this test.
const IN_CHILD: &str = "OHOCI_TEST_BEHIND_PROXY";

#[tokio::test]
async fn proxies_of_the_environment_are_used_but_not_for_this_machine() {
    let name = "registry_client::connections::proxies_of_the_environment_are_used_but_not_for_this_machine";
    if let Ok(local) = std::env::var(IN_CHILD) {
        let plain = HostSettings {
            plain_http: true,
            ..HostSettings::default()
        };
        read("registry.example:81", plain.clone()).await.unwrap();
        read(&local, plain).await.unwrap();
        return;
    }
    let served = || Answer::ok(manifest().bytes().to_vec());
    let proxy = Scripted::start([(
        "GET http://registry.example:81/v2/a/b/manifests/t",
        served(),
    )])
    .await;
    let local = Scripted::start([("GET /v2/a/b/manifests/t", served())]).await;
    // The environment belongs to the whole process, so the client gets one of its own.
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(IN_CHILD, local.host())
        .env("http_proxy", format!("http://{}", proxy.host()))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .output()
        .await
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
    proxy.finish();
    local.finish();
}
