use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest as _;

use super::*;
use crate::archive::zip::tests::{zip, zip_with_modes};
use crate::python::tags::{Libc, Target};
use ohoci_image::Platform;

pub(crate) fn chooser() -> Chooser {
    let platform = Platform::new("linux", "amd64");
    Target::new(13, &platform, Libc::Glibc(28))
        .unwrap()
        .chooser()
}

/// A line of a RECORD.
fn line(path: &str, content: &[u8]) -> String {
    let hash = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(content));
    format!("{path},sha256={hash},{}\n", content.len())
}

/// The files of a wheel of `pkg` 1.0: what is given, and the metadata, without its RECORD.
fn files<'a>(more: &[(&'a str, &'a [u8])]) -> Vec<(&'a str, &'a [u8])> {
    let mut files: Vec<(&str, &[u8])> = vec![
        (
            "pkg-1.0.dist-info/METADATA",
            b"Metadata-Version: 2.1\nName: Pkg\nVersion: 1.0\n",
        ),
        (
            "pkg-1.0.dist-info/WHEEL",
            b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        ),
    ];
    for (path, content) in more {
        files.retain(|(known, _)| known != path);
        files.push((path, content));
    }
    files
}

fn record(files: &[(&str, &[u8])]) -> String {
    let lines = files.iter().map(|(path, content)| line(path, content));
    lines.collect::<String>() + "pkg-1.0.dist-info/RECORD,,\n"
}

/// A wheel of `pkg` 1.0 with these files and a right RECORD.
pub(crate) fn wheel(more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut files = files(more);
    let record = record(&files);
    files.push(("pkg-1.0.dist-info/RECORD", record.as_bytes()));
    zip(&files)
}

fn read_as(name: &str, bytes: &[u8]) -> Result<Distribution, PythonError> {
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::create(directory.path()).unwrap();
    let length = bytes.len() as u64;
    read(name, bytes, length, &chooser(), Limits::default(), &spool)
}

/// Reads a wheel of `pkg` 1.0.
pub(crate) fn read_wheel(bytes: &[u8]) -> Result<Distribution, PythonError> {
    read_as("pkg-1.0-py3-none-any.whl", bytes)
}

fn refusal(bytes: &[u8]) -> String {
    let error = read_wheel(bytes).unwrap_err().to_string();
    assert!(error.starts_with("pkg-1.0-py3-none-any.whl: "), "{error}");
    error
}

#[test]
fn a_wheel_is_what_its_name_and_its_record_say() {
    let wheel = wheel(&[
        ("pkg/__init__.py", b"x = 1\n"),
        ("pkg-1.0.dist-info/licenses/sub/MIT.txt", b"MIT"),
        ("pkg-1.0.dist-info/COPYING", b"GPL"),
        (
            "pkg-1.0.dist-info/METADATA",
            b"Name: PKG\nVersion: 1.0.0\nLicense-Expression: MIT\n\
              Classifier: License :: OSI Approved :: MIT License\nRequires-Dist: a>1; extra == 'x'\n",
        ),
    ]);
    let read = read_wheel(&wheel).unwrap();
    assert_eq!(read.name().as_str(), "pkg");
    assert_eq!(read.requires(), ["a>1; extra == 'x'"]);
    let licences = read.licences();
    assert_eq!(licences.expression.as_deref(), Some("MIT"));
    assert_eq!(licences.classifiers.len(), 1);
    let files: Vec<_> = licences.files.iter().map(ToString::to_string).collect();
    assert_eq!(
        files,
        [
            "/pkg-1.0.dist-info/COPYING",
            "/pkg-1.0.dist-info/licenses/sub/MIT.txt"
        ]
    );
}

#[test]
fn names_tags_and_metadata_must_agree() {
    let good = wheel(&[]);
    for (name, why) in [
        (
            "other-1.0-py3-none-any.whl",
            "its name is not that of other 1.0",
        ),
        (
            "pkg-1.1-py3-none-any.whl",
            "its name is not that of pkg 1.1",
        ),
        ("pkg-1.0-py2-none-any.whl", "not made for this platform"),
        (
            "pkg-1.0-cp313-cp313-manylinux_2_99_x86_64.whl",
            "not made for this platform",
        ),
        (
            "pkg-1.0-cp313-cp313-win_amd64.whl",
            "not made for this platform",
        ),
        ("pkg.whl", "no name of a wheel"),
    ] {
        let error = read_as(name, &good).unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    }
    let metadata = |text: &'static [u8]| wheel(&[("pkg-1.0.dist-info/METADATA", text)]);
    assert!(refusal(&metadata(b"Name: other\nVersion: 1.0\n")).contains("\"other\""));
    assert!(refusal(&metadata(b"Name: pkg\nVersion: 2\n")).contains("version 2"));
    assert!(refusal(&metadata(b"Version: 1.0\n")).contains("no Name"));
    let format = wheel(&[("pkg-1.0.dist-info/WHEEL", b"Wheel-Version: 2.0\n")]);
    assert!(refusal(&format).contains("version 2.0"));
    assert!(refusal(&zip(&[("pkg.py", b"")])).contains("no .dist-info"));
}

#[test]
fn every_file_must_be_recorded_and_every_record_filled() {
    let name = "pkg-1.0.dist-info/RECORD";
    let with = |extra: &[(&'static str, &'static [u8])], record: &str| {
        let mut all = files(extra);
        all.push((name, record.as_bytes()));
        refusal(&zip(&all))
    };
    let right = record(&files(&[]));
    let error = with(&[("evil.py", b"x")], &right);
    assert!(
        error.contains("evil.py: it is not in the RECORD"),
        "{error}"
    );
    let error = with(&[], &(right.clone() + &line("gone.py", b"")));
    assert!(
        error.contains("gone.py: it is in the RECORD, but not"),
        "{error}"
    );
    let error = with(&[], &(right.clone() + &line("../../up.py", b"")));
    assert!(error.contains("leads out"), "{error}");
    let error = with(
        &[("a.py", b"new")],
        &(right.clone() + &line("a.py", b"old")),
    );
    assert!(error.contains("a.py: it has another hash"), "{error}");
    let error = with(
        &[("a.py", b"longer")],
        &(right.clone() + &line("a.py", b"old")),
    );
    assert!(error.contains("a.py: it has 6 bytes"), "{error}");
    let error = with(&[("a.py", b"x")], &(right + "a.py,,1\n"));
    assert!(error.contains("no hash"), "{error}");
    assert!(refusal(&zip(&files(&[]))).contains("RECORD: it is not there"));
}

#[test]
fn names_that_are_one_on_some_systems_are_refused() {
    let error = refusal(&wheel(&[("pkg/a.py", b""), ("pkg/A.py", b"")]));
    assert!(error.contains("in case only"), "{error}");
    let error = refusal(&wheel(&[("PKG-1.0.DIST-INFO/x", b"")]));
    assert!(error.contains("not that of pkg"), "{error}");
    let error = refusal(&wheel(&[("Pkg-1.0.dist-info/x", b"")]));
    assert!(error.contains("as well"), "{error}");
    let error = refusal(&wheel(&[("other-1.0.dist-info/METADATA", b"")]));
    assert!(error.contains("not that of pkg"), "{error}");
    let error = refusal(&wheel(&[("other.data/scripts/x", b"")]));
    assert!(error.contains("not that of pkg"), "{error}");
}

#[test]
fn links_are_refused() {
    let files = [("pkg.py", b"/etc/passwd".as_slice(), 0o120_777)];
    assert!(refusal(&zip_with_modes(&files)).contains("no links"));
}

#[test]
fn a_wheel_that_promises_too_much_is_refused() {
    let bytes = wheel(&[("zeros", &vec![0; 1 << 20])]);
    let directory = tempfile::tempdir().unwrap();
    let spool = Spool::create(directory.path()).unwrap();
    let limits = Limits {
        total: 1 << 20,
        ..Limits::default()
    };
    let name = "pkg-1.0-py3-none-any.whl";
    let length = bytes.len() as u64;
    let read = read(name, bytes.as_slice(), length, &chooser(), limits, &spool);
    assert!(read.unwrap_err().to_string().contains("zeros"));
}
