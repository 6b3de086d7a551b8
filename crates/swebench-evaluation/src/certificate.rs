//! A certificate of a server that is there for one run, and the authority that vouches for it and for
//! nothing else.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, Error, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};

/// A certificate and its key, in PEM. The authority's key is gone.
pub(super) struct Certified {
    /// The authority's own certificate.
    pub(super) authority: String,
    /// The server's.
    pub(super) certificate: String,
    /// The server's key.
    pub(super) key: String,
}

impl Certified {
    /// One for these host names, with a space between them.
    ///
    /// # Errors
    /// When one of them is none.
    pub(super) fn make(hosts: &str) -> Result<Self, Error> {
        let mut params = CertificateParams::new([])?;
        let name = "ohoci, for one run";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let hosts: Vec<String> = hosts.split(' ').map(str::to_owned).collect();
        let name = hosts.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Self {
            authority: issuer.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}
