//! A certificate authority for servers and clients on loopback.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use testbed::docker_registry::Tls;

/// An authority and the directory with the files it made.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

/// A certificate and its key.
pub(crate) struct Certified {
    /// PEM file with the certificate.
    pub(crate) certificate: PathBuf,
    /// PEM file with the key.
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self {
            issuer,
            directory: TempDir::new().unwrap(),
        };
        fs_err::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    /// PEM file with the authority's own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// The directory that holds [`Authority::file`], in the form of skopeo's `--cert-dir`.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A server on loopback; `clients` asks every client for a certificate of this authority.
    pub(crate) fn server(&self, clients: bool) -> Tls {
        let made = self.certify("server", ExtendedKeyUsagePurpose::ServerAuth);
        let client_authority = clients.then(|| self.file());
        Tls {
            certificate: made.certificate,
            key: made.key,
            client_authority,
        }
    }

    /// A client. The files end in `.cert` and `.key`, as `certs.d` directories want them.
    pub(crate) fn client(&self) -> Certified {
        self.certify("client", ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A server that signed its certificate itself, as distribution's own recipe makes one: an
    /// authority of nobody, and the file to trust is the certificate. Valid until the year `until`.
    pub(crate) fn self_signed(&self, name: &str, until: i32) -> Tls {
        let names = ["127.0.0.1", "localhost"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let made = Tls {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
            client_authority: None,
        };
        fs_err::write(&made.certificate, certificate.pem()).unwrap();
        fs_err::write(&made.key, key.serialize_pem()).unwrap();
        made
    }

    fn certify(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Certified {
        let names = ["127.0.0.1", "localhost", "registry.example"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        // Python 3.13 wants it.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let made = Certified {
            certificate: self.path(&format!("{name}.cert")),
            key: self.path(&format!("{name}.key")),
        };
        fs_err::write(&made.certificate, certificate.pem()).unwrap();
        fs_err::write(&made.key, key.serialize_pem()).unwrap();
        made
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A key pair to sign images with, `mine.pem` and `mine.pub`, in no need of a passphrase.
pub(crate) fn key_pair(directory: &Path) {
    let key = KeyPair::generate().unwrap();
    fs_err::write(directory.join("mine.pem"), key.serialize_pem()).unwrap();
    fs_err::write(directory.join("mine.pub"), key.public_key_pem()).unwrap();
}
