//! Debian packages, sound and unsound.

#![expect(
    clippy::indexing_slicing,
    reason = "headers are made here, with a size that is known"
)]

use std::io::Write as _;

/// A package in the making.
#[derive(Clone, Debug)]
pub struct Deb {
    name: String,
    version: String,
    architecture: String,
    fields: Vec<(String, String)>,
    control: Vec<(String, String)>,
    data: Vec<u8>,
    whole: Option<Vec<u8>>,
}

/// How members are compressed: what their names end in, and the function.
pub type Compressor = (&'static str, fn(&[u8]) -> Vec<u8>);

/// No compression.
pub const PLAIN: Compressor = ("", <[u8]>::to_vec);
/// xz, as most packages have.
pub const XZ: Compressor = (".xz", xz);

/// Compresses with xz.
///
/// # Panics
/// When the library refuses.
#[must_use]
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

impl Deb {
    /// A package without files.
    #[must_use]
    pub fn new(name: &str, version: &str, architecture: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: architecture.to_owned(),
            fields: Vec::new(),
            control: Vec::new(),
            data: Vec::new(),
            whole: None,
        }
        .directory("./")
    }

    /// With this as the whole package, whatever else is said.
    #[must_use]
    pub fn whole(mut self, bytes: &[u8]) -> Self {
        self.whole = Some(bytes.to_vec());
        self
    }

    /// With a field, such as `Depends`.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a file of the control archive, such as `postinst` or `conffiles`.
    #[must_use]
    pub fn control_file(mut self, name: &str, content: &str) -> Self {
        self.control.push((format!("./{name}"), content.to_owned()));
        self
    }

    /// With a directory; its path stands in the tar as it is given.
    #[must_use]
    pub fn directory(mut self, path: &str) -> Self {
        tar_member(&mut self.data, path, b'5', "", b"");
        self
    }

    /// With a file.
    #[must_use]
    pub fn file(mut self, path: &str, content: &[u8]) -> Self {
        tar_member(&mut self.data, path, b'0', "", content);
        self
    }

    /// With a file that may be executed, and may be more: its permission bits.
    #[must_use]
    pub fn program(mut self, path: &str, content: &[u8], mode: u32) -> Self {
        let start = self.data.len();
        tar_member(&mut self.data, path, b'0', "", content);
        set_mode(&mut self.data[start..], mode);
        self
    }

    /// With a symlink.
    #[must_use]
    pub fn symlink(mut self, path: &str, target: &str) -> Self {
        tar_member(&mut self.data, path, b'2', target, b"");
        self
    }

    /// With a member of any type of tar.
    #[must_use]
    pub fn member(mut self, path: &str, kind: u8, target: &str) -> Self {
        tar_member(&mut self.data, path, kind, target, b"");
        self
    }

    /// What `Packages` says about it, without its file.
    #[must_use]
    pub fn stanza(&self) -> String {
        let mut text = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\n",
            self.name, self.version, self.architecture
        );
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }

    /// Where it lies in an archive.
    #[must_use]
    pub fn path(&self) -> String {
        // File names leave out the epoch.
        let version = self.version.rsplit(':').next().unwrap_or_default();
        format!(
            "pool/main/{}/{}_{version}_{}.deb",
            self.name, self.name, self.architecture
        )
    }

    /// Its architecture.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The control archive.
    #[must_use]
    pub fn control_tar(&self) -> Vec<u8> {
        let mut control = Vec::new();
        tar_member(&mut control, "./", b'5', "", b"");
        tar_member(
            &mut control,
            "./control",
            b'0',
            "",
            self.stanza().as_bytes(),
        );
        for (name, content) in &self.control {
            tar_member(&mut control, name, b'0', "", content.as_bytes());
        }
        finish_tar(control)
    }

    /// The archive of its files.
    #[must_use]
    pub fn data_tar(&self) -> Vec<u8> {
        finish_tar(self.data.clone())
    }

    /// The package.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        match &self.whole {
            Some(whole) => whole.clone(),
            None => self.build_with(XZ),
        }
    }

    /// The package, compressed in another way.
    #[must_use]
    pub fn build_with(&self, (suffix, compress): Compressor) -> Vec<u8> {
        ar(&[
            ("debian-binary", b"2.0\n"),
            (
                &format!("control.tar{suffix}"),
                &compress(&self.control_tar()),
            ),
            (&format!("data.tar{suffix}"), &compress(&self.data_tar())),
        ])
    }
}

/// An `ar` archive of these members (deb(5)).
#[must_use]
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = b"!<arch>\n".to_vec();
    for (name, content) in members {
        archive.extend(ar_header(name, content.len()));
        archive.extend(*content);
        if content.len() % 2 == 1 {
            archive.push(b'\n');
        }
    }
    archive
}

/// A tar of these members (path, type, target, content), however unsound they are.
#[must_use]
pub fn tar(members: &[(&str, u8, &str, &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (path, kind, target, content) in members {
        tar_member(&mut tar, path, *kind, target, content);
    }
    finish_tar(tar)
}

/// A header of an `ar` member.
#[must_use]
pub fn ar_header(name: &str, size: usize) -> Vec<u8> {
    format!(
        "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n",
        0, 0, 0, 100_644
    )
    .into_bytes()
}

/// Adds a member to a tar. Names of up to 100 bytes, owned by root, dated 1970.
fn tar_member(tar: &mut Vec<u8>, path: &str, kind: u8, target: &str, content: &[u8]) {
    let mut header = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, path);
    put(100, if kind == b'5' { "0000755" } else { "0000644" });
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(157, target);
    put(257, "ustar\x0000");
    header[156] = kind;
    put_sum(&mut header);
    tar.extend(header);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Sets the permission bits in a header.
fn set_mode(header: &mut [u8], mode: u32) {
    header[100..107].copy_from_slice(format!("{mode:07o}").as_bytes());
    put_sum(&mut header[..512]);
}

/// Writes a header's sum, which counts itself as blanks.
fn put_sum(header: &mut [u8]) {
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn finish_tar(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize((tar.len() + 1024).next_multiple_of(10_240), 0);
    tar
}
