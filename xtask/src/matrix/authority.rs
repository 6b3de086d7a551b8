//! A company's authority, which bases have among their certificates, and a certificate that it gave to a server of this
//! machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{find, output};

/// The authority's own certificate, and the server's with its key.
const FILES: [&str; 3] = ["authority.pem", "server.pem", "server.key"];

/// What a certificate has to say that Python 3.13 and browsers accept.
const SERVER: &str = "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n\
                      extendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n\
                      subjectKeyIdentifier=hash\n";

/// An authority, kept in a directory.
#[derive(Debug)]
pub(super) struct Authority {
    directory: PathBuf,
}

impl Authority {
    /// That of an earlier run, whose certificate bases have, or a new one.
    pub(super) fn at(directory: &Path) -> Result<Self> {
        let this = Self {
            directory: directory.to_owned(),
        };
        if FILES.iter().any(|name| !directory.join(name).exists()) {
            this.make()?;
        }
        Ok(this)
    }

    fn make(&self) -> Result<()> {
        fs_err::create_dir_all(&self.directory)?;
        fs_err::write(self.directory.join("server.extensions"), SERVER)?;
        let openssl = |line: &str| {
            let program = find("openssl").context("openssl is not installed")?;
            let mut command = Command::new(program);
            command.current_dir(&self.directory).args(line.split(' '));
            output(&mut command)
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout";
        openssl(&format!(
            "req -x509 {key} authority.key -out authority.pem -days 365 -subj /CN=Example-Company \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ))?;
        openssl(&format!(
            "req -new {key} server.key -out server.request -subj /CN=127.0.0.1"
        ))?;
        openssl(
            "x509 -req -in server.request -CA authority.pem -CAkey authority.key -CAcreateserial \
             -days 365 -extfile server.extensions -out server.pem",
        )
        .map(drop)
    }

    /// Makes a bundle with nothing but the authority's certificate.
    pub(super) fn install(&self, bundle: &Path) -> Result<()> {
        fs_err::create_dir_all(bundle.parent().context("a directory")?)?;
        fs_err::copy(self.directory.join("authority.pem"), bundle)?;
        Ok(())
    }

    /// Puts what its server and those who ask about it need into a directory, readable for every user.
    pub(super) fn hand_out(&self, to: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        for name in FILES {
            let copy = to.join(name);
            fs_err::copy(self.directory.join(name), &copy)?;
            fs_err::set_permissions(&copy, std::fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    }
}
