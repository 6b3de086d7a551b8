//! The bundle of CA certificates, which Debian's maintainer script would have made.

use std::io::{self, Read};

use bytes::Bytes;

use super::link::relative;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// The certificates as `ca-certificates` ships them, below the prefix.
const SOURCE: &str = "share/ca-certificates/mozilla";
/// The bundle's places, below the prefix: where OpenSSL looks, and where Debian has it.
const BUNDLE: &str = "etc/ssl/cert.pem";
const DEBIAN_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Most bytes in a certificate file; the largest has some 3 KiB.
const LARGEST: u64 = 1 << 20;

/// Adds `etc/ssl/cert.pem`, the concatenation of all certificates of the package
/// `ca-certificates` in path order, and a link to it where Debian has it. Returns how many
/// certificates it holds; nothing is added when there are none, or when a bundle is there already.
///
/// # Errors
/// When a certificate cannot be read, or is no PEM file of a certificate's size.
pub(crate) fn add_certificates(tree: &mut Tree) -> io::Result<usize> {
    let path = |text: &str| {
        LayerPath::parse(text.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    };
    let (source, bundle, debian) = (path(SOURCE)?, path(BUNDLE)?, path(DEBIAN_BUNDLE)?);
    if tree
        .get(&bundle)
        .is_some_and(|entry| matches!(entry.kind, Kind::File(_)))
    {
        return Ok(0);
    }
    let mut pem = Vec::new();
    let mut count = 0;
    for (at, entry) in tree.iter() {
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        if !at.is_within(&source) || !at.as_bytes().ends_with(b".crt") {
            continue;
        }
        let bad = |why| io::Error::new(io::ErrorKind::InvalidData, format!("{at}: {why}"));
        if content.size() > LARGEST {
            return Err(bad("too large for a certificate"));
        }
        let start = pem.len();
        content.open()?.read_to_end(&mut pem)?;
        let added = pem.get(start..).unwrap_or_default();
        if !added.starts_with(b"-----BEGIN CERTIFICATE-----") {
            return Err(bad("no certificate in PEM form"));
        }
        if !added.ends_with(b"\n") {
            pem.push(b'\n');
        }
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    let file = Entry::new(Kind::File(Content::Memory(Bytes::from(pem))), 0o644);
    let link = Entry::new(Kind::Symlink(relative(&debian, &bundle)), 0o777);
    for (at, entry) in [(bundle, file), (debian, link)] {
        tree.insert(at, entry, Rules::Foreign)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn tree(files: &[(&str, &'static str)]) -> Tree {
        let mut tree = Tree::new();
        for (at, text) in files {
            let content = Content::Memory(Bytes::from_static(text.as_bytes()));
            tree.insert(
                path(at),
                Entry::new(Kind::File(content), 0o644),
                Rules::Strict,
            )
            .unwrap();
        }
        tree
    }

    #[test]
    fn the_bundle_holds_all_certificates_in_path_order() {
        let mut tree = tree(&[
            (
                "share/ca-certificates/mozilla/B.crt",
                "-----BEGIN CERTIFICATE-----\nb\n",
            ),
            (
                "share/ca-certificates/mozilla/A.crt",
                "-----BEGIN CERTIFICATE-----\na",
            ),
            ("share/ca-certificates/mozilla/README", "no"),
        ]);
        assert_eq!(add_certificates(&mut tree).unwrap(), 2);
        let mut text = String::new();
        match &tree.get(&path("etc/ssl/cert.pem")).unwrap().kind {
            Kind::File(content) => content.open().unwrap().read_to_string(&mut text).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text,
            "-----BEGIN CERTIFICATE-----\na\n-----BEGIN CERTIFICATE-----\nb\n"
        );
        let link = tree
            .get(&path("etc/ssl/certs/ca-certificates.crt"))
            .unwrap();
        assert!(matches!(&link.kind, Kind::Symlink(to) if to == b"../cert.pem"));
        assert_eq!(add_certificates(&mut tree).unwrap(), 0, "once is enough");
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let mut tree = tree(&[("share/ca-certificates/mozilla/A.crt", "hello")]);
        assert!(add_certificates(&mut tree).is_err());
    }
}
