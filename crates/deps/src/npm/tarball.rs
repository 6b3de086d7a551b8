//! A package's tarball.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::NpmError;
use super::lockfile::Package;
use crate::archive::tar::{Taken, read_content, read_tar_with};
use crate::archive::{Spool, growth};
use ohoci_layer::path::printable;
use ohoci_layer::tar_read::Member;
use ohoci_layer::{Content, Kind, LayerPath, whiteout};

/// How many bytes a package may have when decompressed.
const LIMIT: u64 = 4 << 30;
/// The largest `package.json` that is read, in bytes.
const MAX_MANIFEST: u64 = 16 << 20;

/// The files of a package by their path in it.
pub type Files = BTreeMap<LayerPath, PackedFile>;

/// A file of a package.
#[derive(Clone, Debug)]
pub struct PackedFile {
    /// Its content.
    pub content: Content,
    /// Its permissions, as npm makes them.
    pub mode: u32,
}

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
}

/// Reads the tarball of a package, which has `size` bytes.
///
/// The first name of every path is taken off, whatever it is (`package`, mostly). Directories
/// without files are left out, and `.gitignore` becomes `.npmignore`, as npm does it.
///
/// # Errors
/// When the archive is damaged or means harm, when there is anything but files and directories in
/// it, or when it is another package.
pub fn read(
    package: &Package,
    input: impl Read,
    size: u64,
    spool: &Spool,
) -> Result<Files, NpmError> {
    let what = format!("{} {}", package.name, package.version);
    let tree = read_tar_with(input, growth::largest(size, LIMIT), spool, take)
        .map_err(|error| NpmError::archive(&what, &error))?;
    let mut files = Files::new();
    let mut top: Option<Vec<u8>> = None;
    for (path, entry) in &tree {
        let fail = |why: &str| NpmError::member(&what, path.as_bytes(), why);
        let Kind::File(content) = &entry.kind else {
            continue;
        };
        let first = path.names().next().unwrap_or_default();
        let top = top.get_or_insert_with(|| first.to_vec());
        if top != first {
            let other = printable(top);
            return Err(fail(&format!(
                "there should be one directory, and {other} is there too"
            )));
        }
        let below: Vec<&[u8]> = path.names().skip(1).collect();
        if below.is_empty() {
            return Err(fail("it is not in a directory"));
        }
        let below =
            LayerPath::parse(&below.join(&b'/')).map_err(|error| fail(&error.to_string()))?;
        if whiteout::is_reserved(&below) {
            return Err(fail("a name that begins with `.wh.` would remove files"));
        }
        // As pacote does: all may read, only the owner may write, execute bits stay.
        let mode = (entry.mode & 0o777 | 0o666) & 0o755;
        let content = content.clone();
        files.insert(below, PackedFile { content, mode });
    }
    rename_ignore_files(&mut files);
    check_manifest(package, &files).map_err(|why| NpmError::member(&what, b"package.json", why))?;
    Ok(files)
}

fn take(member: &Member) -> Taken {
    match &member.entry.kind {
        Kind::File(_) => Taken::AsItIs,
        // Whatever they are called: what is below them says where they are.
        Kind::Directory => Taken::Nothing,
        other => Taken::Refused(format!("a package can hold no {}", other.noun())),
    }
}

fn rename_ignore_files(files: &mut Files) {
    let found: Vec<LayerPath> = files
        .keys()
        .filter(|path| path.name() == b".gitignore")
        .cloned()
        .collect();
    for path in found {
        let directory = path.parent().unwrap_or_default();
        let Some(file) = files.remove(&path) else {
            continue;
        };
        let renamed = LayerPath::parse(b".npmignore").and_then(|name| directory.join(&name));
        if let Ok(renamed) = renamed {
            files.entry(renamed).or_insert(file);
        }
    }
}

/// What the tarball says of itself must be what was asked for: registries show the one and hand
/// out the other.
fn check_manifest(package: &Package, files: &Files) -> Result<(), String> {
    let file = files
        .get(b"package.json".as_slice())
        .ok_or("it is not there")?;
    let bytes = read_content(&file.content, MAX_MANIFEST).map_err(|error| error.to_string())?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let name = manifest.name.unwrap_or_default();
    let version = manifest.version.unwrap_or_default();
    let plain = version.trim().trim_start_matches(['v', '=']).trim_start();
    // Build metadata is no part of what versions are told apart by (semver 2, 10).
    let base = |version: &str| version.split('+').next().unwrap_or_default().to_owned();
    if name != package.name || base(plain) != base(&package.version) {
        return Err(format!("it is the manifest of {name:?} {version:?}"));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use ohoci_layer::Entry;
    use ohoci_layer::tar_write::TarWriter;

    /// A tarball of these entries; what is no file has no content.
    pub(in crate::npm) fn tarball(entries: &[(&str, Kind<u64>, &str, u32)]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (path, kind, content, mode) in entries {
            let path = LayerPath::parse(path.as_bytes()).unwrap();
            let kind = match kind {
                Kind::File(_) => Kind::File(content.len() as u64),
                other => other.clone(),
            };
            let entry = Entry::new(kind, *mode);
            writer
                .append(&path, &entry, &mut content.as_bytes())
                .unwrap();
        }
        let tar = writer.finish().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &tar).unwrap();
        gzip.finish().unwrap()
    }

    pub(in crate::npm) fn package(name: &str, version: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            file: None,
            optional: false,
            programs: BTreeMap::new(),
            licence: None,
            os: Vec::new(),
            cpu: Vec::new(),
            libc: Vec::new(),
            needs: super::super::lockfile::Needs::default(),
        }
    }

    const FILE: Kind<u64> = Kind::File(0);
    const MANIFEST: &str = r#"{"name": "@s/a", "version": "v1.0.0+x"}"#;

    fn read_all(entries: &[(&str, Kind<u64>, &str, u32)]) -> Result<Files, NpmError> {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::create(directory.path()).unwrap();
        let tarball = tarball(entries);
        let size = tarball.len() as u64;
        read(&package("@s/a", "1.0.0"), tarball.as_slice(), size, &spool)
    }

    #[test]
    fn files_and_modes_are_those_that_npm_makes() {
        let files = read_all(&[
            ("any-name/package.json", FILE, MANIFEST, 0o600),
            ("any-name/empty", Kind::Directory, "", 0o755),
            ("any-name/bin/x", FILE, "#!", 0o700),
            ("any-name/bin/y", FILE, "#!", 0o4777),
            ("any-name/.gitignore", FILE, "", 0o644),
            ("any-name/sub/.gitignore", FILE, "git", 0o644),
            ("any-name/sub/.npmignore", FILE, "npm", 0o644),
        ])
        .unwrap();
        let found: Vec<String> = files
            .iter()
            .map(|(path, file)| format!("{path} {:o} {}", file.mode, file.content.size()))
            .collect();
        assert_eq!(
            found,
            [
                "/.npmignore 644 0",
                "/bin/x 744 2",
                "/bin/y 755 2",
                "/package.json 644 39",
                "/sub/.npmignore 644 3",
            ]
        );
    }

    #[test]
    fn tarballs_that_mean_harm_or_something_else_are_refused() {
        let manifest = ("package/package.json", FILE, MANIFEST, 0o644);
        for (entry, why) in [
            (
                (
                    "package/a",
                    Kind::Symlink(b"/etc/passwd".to_vec()),
                    "",
                    0o777,
                ),
                "no symlink",
            ),
            (
                (
                    "package/a",
                    Kind::Hardlink(LayerPath::parse(b"etc/passwd").unwrap()),
                    "",
                    0o644,
                ),
                "no hard link",
            ),
            (("package/a", Kind::Fifo, "", 0o644), "no named pipe"),
            (("elsewhere/a", FILE, "", 0o644), "one directory"),
            (("a", FILE, "", 0o644), "not in a directory"),
            (("package/package.json", FILE, "{}", 0o644), "twice"),
            (("package/package.json/x", FILE, "", 0o644), "is below"),
        ] {
            let error = read_all(&[manifest.clone(), entry])
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("@s/a 1.0.0: "), "{error}");
            assert!(error.contains(why), "{error}");
        }
        for (text, why) in [
            (r#"{"name": "a", "version": "1.0.0"}"#, "manifest of \"a\""),
            (r#"{"name": "@s/a", "version": "1.0.1"}"#, "\"1.0.1\""),
            ("{}", "manifest of \"\""),
            ("[", "package.json: "),
        ] {
            let entry = ("package/package.json", FILE, text, 0o644);
            let error = read_all(&[entry]).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert!(read_all(&[("package/x", FILE, "", 0o644)]).is_err());
    }
}
