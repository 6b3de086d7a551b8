//! Locks on disk: TOML, a block of short lines for each package.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use super::document::{DebianPackage, Lock, LockedFile, LockedSource, PythonPackage, VERSION};
use ohoci_config::{ConfigError, text};
use ohoci_image::Digest;

/// Largest lock that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Reads the lock in a file; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is damaged, or was written by a newer ohoci.
pub fn read(path: &Path) -> Result<Option<Lock>, ConfigError> {
    let fail = |error: std::io::Error| match error.kind() {
        ErrorKind::InvalidInput => ConfigError::new(path, error.to_string()),
        kind => ConfigError::new(path, kind.to_string()),
    };
    let file = match ohoci_files::regular::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::new(path, "it is larger than 64 MiB"));
    }
    let text = text::decode(bytes).map_err(fail)?;
    let lock: Lock =
        toml::from_str(&text).map_err(|error| ConfigError::parse(path, &text, &error))?;
    if lock.version != VERSION {
        let why = format!(
            "it has version {} of the format; this ohoci reads {VERSION}",
            lock.version
        );
        return Err(ConfigError::new(path, why));
    }
    let debian = lock
        .debian
        .iter()
        .map(|package| (&package.name, &package.file));
    let python = lock
        .python
        .iter()
        .map(|package| (&package.name, &package.file));
    let source = lock
        .source
        .iter()
        .map(|source| (&source.name, &source.file));
    for (name, files) in debian.chain(python).chain(source) {
        for file in files.values() {
            if !is_relative(&file.path) {
                let why = format!("{name}: {:?} is no path below a mirror", file.path);
                return Err(ConfigError::new(path, why));
            }
        }
    }
    Ok(Some(lock))
}

/// Whether a path can only lead to something below a mirror's root, whatever it is joined to.
#[must_use]
pub fn is_relative(path: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\' | b'%');
    path.len() <= 1024
        && path
            .split('/')
            .all(|name| !matches!(name, "" | "." | "..") && name.bytes().all(legal))
}

/// The text of a lock. Equal locks give equal bytes, and a package that changes changes only its
/// own lines.
#[must_use]
pub fn to_text(lock: &Lock) -> String {
    let mut text = String::from("# Written by `ohoci deps lock`. Change the recipe instead.\n");
    line(&mut text, "version", &lock.version.to_string());
    line(&mut text, "recipe", &quoted(&lock.recipe));
    line(&mut text, "platforms", &list(&lock.platforms));
    for feature in &lock.feature {
        text.push_str("\n[[feature]]\n");
        line(&mut text, "name", &quoted(&feature.name));
        line(&mut text, "inputs", &quoted(&feature.inputs.to_string()));
    }
    for (suite, release) in &lock.release {
        text.push_str("\n[release.");
        text.push_str(&quoted(suite));
        text.push_str("]\n");
        line(&mut text, "date", &quoted(&release.date));
    }
    for package in &lock.debian {
        push_package(&mut text, package);
    }
    for package in &lock.python {
        push_python(&mut text, package);
    }
    for source in &lock.source {
        push_source(&mut text, source);
    }
    text
}

fn push_source(text: &mut String, source: &LockedSource) {
    text.push_str("\n[[source]]\n");
    line(text, "kind", &quoted(source.kind.name()));
    line(text, "name", &quoted(&source.name));
    if let Some(version) = &source.version {
        line(text, "version", &quoted(version));
    }
    if let Some(licence) = &source.licence {
        line(text, "licence", &quoted(licence));
    }
    line(text, "feature", &quoted(&source.feature));
    text.push_str("[source.file]\n");
    for (platform, file) in &source.file {
        push_file(text, platform, file);
    }
}

fn push_python(text: &mut String, package: &PythonPackage) {
    text.push_str("\n[[python]]\n");
    line(text, "name", &quoted(&package.name));
    line(text, "version", &quoted(&package.version));
    line(text, "feature", &quoted(&package.feature));
    if package.requested {
        line(text, "requested", "true");
    }
    if package.without_build_script {
        line(text, "without_build_script", "true");
    }
    text.push_str("[python.file]\n");
    for (platform, file) in &package.file {
        push_file(text, platform, file);
    }
}

fn push_package(text: &mut String, package: &DebianPackage) {
    text.push_str("\n[[debian]]\n");
    line(text, "name", &quoted(&package.name));
    line(text, "version", &quoted(&package.version));
    if let Some(source) = &package.source {
        line(text, "source", &quoted(source));
    }
    line(text, "feature", &quoted(&package.feature));
    if let Some(suite) = &package.suite {
        line(text, "suite", &quoted(suite));
    }
    if !package.needs.is_empty() {
        line(text, "needs", &list(&package.needs));
    }
    text.push_str("[debian.file]\n");
    for (platform, file) in &package.file {
        push_file(text, platform, file);
    }
}

fn push_file(text: &mut String, platform: &str, file: &LockedFile) {
    let key = match platform.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        true => platform.to_owned(),
        false => quoted(platform),
    };
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "{key} = {{ path = {}, size = {}, digest = {} }}",
        quoted(&file.path),
        file.size,
        quoted(&file.digest.to_string())
    );
}

fn line(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {value}");
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

/// The line of a lock's file that names the file with this digest, counted from 1.
#[must_use]
pub(crate) fn line_of(lock: &Path, digest: &Digest) -> Option<usize> {
    let text = fs_err::read_to_string(lock).ok()?;
    let wanted = format!("digest = {} ", quoted(&digest.to_string()));
    Some(text.lines().position(|line| line.contains(&wanted))? + 1)
}

/// Writes the lock, unless the file says the same already; says whether it wrote.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, lock: &Lock) -> std::io::Result<bool> {
    let text = to_text(lock);
    if fs_err::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(false);
    }
    ohoci_layout::staged::replace(path, text.as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::document::{ANY_PLATFORM, LockedFeature, PlatformFiles, Release};
    use super::*;
    use ohoci_image::{Digest, Platform};

    fn file(name: &str) -> LockedFile {
        LockedFile {
            path: format!("pool/main/{name}.deb"),
            size: 3,
            digest: Digest::of(name.as_bytes()),
        }
    }

    fn lock() -> Lock {
        let mut lock = Lock::new("core", &[Platform::new("linux", "amd64")]);
        lock.feature.push(LockedFeature {
            name: "core".to_owned(),
            inputs: Digest::of(b"inputs"),
        });
        lock.release.insert(
            "trixie".to_owned(),
            Release {
                date: "2026-01-01T00:00:00Z".to_owned(),
            },
        );
        lock.debian.push(DebianPackage {
            name: "libc6".to_owned(),
            version: "1:2.41-12".to_owned(),
            source: Some("glibc 2.41-12".to_owned()),
            feature: "core".to_owned(),
            suite: Some("trixie-security".to_owned()),
            needs: BTreeSet::from(["libgcc-s1".to_owned()]),
            file: PlatformFiles::from_iter([
                ("linux/amd64".to_owned(), file("a")),
                ("linux/arm64".to_owned(), file("b")),
            ]),
        });
        lock.debian.push(DebianPackage {
            name: "ca-certificates".to_owned(),
            version: "20250419".to_owned(),
            source: None,
            feature: "core".to_owned(),
            suite: None,
            needs: BTreeSet::new(),
            file: PlatformFiles::any(file("c")),
        });
        lock.sort();
        lock
    }

    #[test]
    fn what_is_written_is_read_again_and_written_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core.lock");
        assert_eq!(read(&path).unwrap(), None);
        assert!(write(&path, &lock()).unwrap());
        assert_eq!(read(&path).unwrap(), Some(lock()));
        assert!(!write(&path, &lock()).unwrap());
    }

    #[test]
    fn a_block_of_short_lines_for_each_package() {
        let text = to_text(&lock());
        let block = text.split("\n\n").last().unwrap();
        insta::assert_snapshot!(block, @r#"
        [[debian]]
        name = "libc6"
        version = "1:2.41-12"
        source = "glibc 2.41-12"
        feature = "core"
        suite = "trixie-security"
        needs = ["libgcc-s1"]
        [debian.file]
        "linux/amd64" = { path = "pool/main/a.deb", size = 3, digest = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" }
        "linux/arm64" = { path = "pool/main/b.deb", size = 3, digest = "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d" }
        "#);
    }

    #[test]
    fn the_line_of_a_file_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("core.lock");
        write(&path, &lock()).unwrap();
        let line = line_of(&path, &Digest::of(b"b")).unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(
            text.lines()
                .nth(line - 1)
                .unwrap()
                .starts_with("\"linux/arm64\"")
        );
        assert_eq!(line_of(&path, &Digest::of(b"z")), None);
    }

    #[test]
    fn strings_cannot_break_out_of_their_line() {
        let mut lock = lock();
        lock.debian[0].version = "1\"\n[x]\\".to_owned();
        let read: Lock = toml::from_str(&to_text(&lock)).unwrap();
        assert_eq!(read, lock);
    }

    #[test]
    fn a_lock_cannot_lead_out_of_a_mirror() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.lock");
        for bad in ["../x", "/x", "a//b", "http://h/x", "a?b", "", "a b"] {
            let mut lock = lock();
            if let Some(file) = lock.debian[0].file.get_mut(ANY_PLATFORM) {
                file.path = bad.to_owned();
            }
            fs_err::write(&path, to_text(&lock)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("no path below a mirror"), "{bad}: {error}");
        }
        let mut newer = lock();
        newer.version = 2;
        fs_err::write(&path, to_text(&newer)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("version 2"));
    }
}
