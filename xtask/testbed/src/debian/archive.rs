//! The files of an archive, as a mirror serves them.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::deb::{Deb, xz};
use super::key::{Key, SignatureSettings};

/// A distribution in the making: one component, `main`.
#[derive(Clone, Debug)]
pub struct Archive {
    suite: String,
    architectures: Vec<String>,
    packages: Vec<Deb>,
    date: String,
    extra: String,
}

impl Archive {
    /// A distribution of that codename, dated 2026-01-01, for amd64 and arm64.
    #[must_use]
    pub fn new(suite: &str) -> Self {
        Self {
            suite: suite.to_owned(),
            architectures: vec!["amd64".to_owned(), "arm64".to_owned()],
            packages: Vec::new(),
            date: "Thu, 01 Jan 2026 00:00:00 UTC".to_owned(),
            extra: String::new(),
        }
    }

    /// With a package.
    #[must_use]
    pub fn package(mut self, deb: Deb) -> Self {
        self.packages.push(deb);
        self
    }

    /// Dated otherwise.
    #[must_use]
    pub fn date(mut self, date: &str) -> Self {
        self.date = date.to_owned();
        self
    }

    /// With another field of `Release`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.extra.push_str(&format!("{name}: {value}\n"));
        self
    }

    /// Every file by its path, with `InRelease` signed by the key.
    #[must_use]
    pub fn files(&self, key: &Key, settings: SignatureSettings) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut listed = String::new();
        let dists = format!("dists/{}", self.suite);
        for architecture in &self.architectures {
            let directory = format!("main/binary-{architecture}");
            let text = self.index(architecture, &mut files);
            let packed = xz(text.as_bytes());
            let hash = hex(&packed);
            for (name, content) in [("Packages", text.as_bytes()), ("Packages.xz", &packed)] {
                listed.push_str(&format!(
                    " {} {} {directory}/{name}\n",
                    hex(content),
                    content.len()
                ));
            }
            files.insert(format!("{dists}/{directory}/Packages.xz"), packed.clone());
            files.insert(format!("{dists}/{directory}/by-hash/SHA256/{hash}"), packed);
        }
        let release = format!(
            "Origin: Test\nSuite: test\nCodename: {}\nDate: {}\nAcquire-By-Hash: yes\n\
             Architectures: {}\nComponents: main\n{}SHA256:\n{listed}",
            self.suite,
            self.date,
            self.architectures.join(" "),
            self.extra
        );
        files.insert(
            format!("{dists}/InRelease"),
            key.sign(&release, settings).into_bytes(),
        );
        files
    }

    fn index(&self, architecture: &str, files: &mut BTreeMap<String, Vec<u8>>) -> String {
        let mut text = String::new();
        for deb in &self.packages {
            if ![architecture, "all"].contains(&deb.architecture()) {
                continue;
            }
            let content = deb.build();
            text.push_str(&format!(
                "{}Filename: {}\nSize: {}\nSHA256: {}\n\n",
                deb.stanza(),
                deb.path(),
                content.len(),
                hex(&content)
            ));
            files.insert(deb.path(), content);
        }
        text
    }
}

/// The SHA-256 of bytes in hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
