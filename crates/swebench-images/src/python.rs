//! Python for environments: a prefix of this machine, made to work where upstream's environments
//! lie. A real prefix and no virtual environment, because `tox --current-env` links to its Python and
//! would lose sight of a virtual environment's settings.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::shim::{self, ENVIRONMENTS};
use ohoci_layer::Directory;
use ohoci_swebench::environment::NAME;

/// What of `site-packages` an environment begins with: what installs the rest.
const INSTALLERS: [&str; 5] = [
    "pip",
    "setuptools",
    "wheel",
    "pkg_resources",
    "_distutils_hack",
];

/// What tells pip to leave a Python alone, which is about the machine that it came from (PEP 668).
const MARK: &str = "EXTERNALLY-MANAGED";

/// What a program looks for beside itself in the place of its library, which it would find nowhere once
/// it is moved (ld.so(8), `$ORIGIN`). Shorter than the name of any such library.
const BESIDE: &[u8] = b"$ORIGIN/libpy";

/// Directories of the standard library that no program uses: tests, and what runs them.
const UNUSED: [&str; 6] = [
    "__pycache__",
    "site-packages",
    "dist-packages",
    "idlelib",
    "turtledemo",
    "tests",
];

/// A Python on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PythonPrefix {
    root: PathBuf,
    /// Its version: two numbers.
    version: String,
}

/// Where the environment lies in an image, below its root.
#[must_use]
pub(crate) fn place() -> PathBuf {
    Path::new(ENVIRONMENTS).join(NAME)
}

impl PythonPrefix {
    /// Looks for a version: in the directory itself, and in those in it, of which the last by name
    /// is taken.
    #[must_use]
    pub(crate) fn find(directory: &Path, version: &str) -> Option<Self> {
        let has = |root: &Path| root.join("bin").join(format!("python{version}")).exists();
        let found = |root: &Path| {
            // A virtual environment is no prefix.
            (has(root) && !root.join("pyvenv.cfg").exists()).then(|| Self {
                root: fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned()),
                version: version.to_owned(),
            })
        };
        if let Some(found) = found(directory) {
            return Some(found);
        }
        let mut children: Vec<PathBuf> = fs_err::read_dir(directory)
            .ok()?
            .filter_map(|child| Some(child.ok()?.path()))
            .collect();
        children.sort();
        children.iter().rev().find_map(|child| found(child))
    }

    /// A Python that uv manages, which is installed if it can be.
    #[must_use]
    pub(crate) fn of_uv(path: Option<&std::ffi::OsStr>, version: &str) -> Option<Self> {
        let uv = std::env::split_paths(path?)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join("uv"))
            .find(|program| program.is_file())?;
        let directory = || {
            let output = Command::new(&uv).args(["python", "dir"]).output().ok()?;
            let directory = String::from_utf8(output.stdout).ok()?;
            Some(PathBuf::from(directory.trim()))
        };
        let found = |directory: PathBuf| Self::find(&directory, version);
        directory().and_then(found).or_else(|| {
            let words = ["python", "install", "--quiet", version];
            let done = Command::new(&uv).args(words).output().ok()?;
            done.status.success().then(directory)?.and_then(found)
        })
    }

    /// A name for the prefix: the bytes of its program and of its library.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn key(&self) -> io::Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("2 {} {}", self.version, shim::fingerprint()));
        hash.update(fs_err::read(self.root.join("bin").join(self.program()))?);
        for library in self.libraries()? {
            hash.update(fs_err::read(library)?);
        }
        if self.moved_program()?.1.is_some() {
            hash.update(BESIDE);
        }
        Ok(hex::encode(hash.finalize()))
    }

    fn program(&self) -> String {
        format!("python{}", self.version)
    }

    /// The program as it works where it will be, and the library that it finds beside itself there:
    /// one that it needs and that no search path of its own leads to.
    fn moved_program(&self) -> io::Result<(Vec<u8>, Option<OsString>)> {
        let from = fs_err::canonicalize(self.root.join("bin").join(self.program()))?;
        let mut content = fs_err::read(&from)?;
        relocate(&mut content, &self.root, 1);
        let has_path = [
            &b"$ORIGIN/../lib\0"[..],
            b"$ORIGIN/../lib:",
            b":$ORIGIN/../lib\0",
        ];
        if has_path
            .iter()
            .any(|path| memchr::memmem::find(&content, path).is_some())
        {
            return Ok((content, None));
        }
        for library in self.libraries()? {
            let Some(name) = library.file_name() else {
                continue;
            };
            // A name among others of the program, each of which ends in a NUL.
            let name = [b"\0", name.as_encoded_bytes(), b"\0"].concat();
            let Some(at) = memchr::memmem::find(&content, &name) else {
                continue;
            };
            let place = content.get_mut(at + 1..at + name.len());
            let Some(place) = place.filter(|place| place.len() > BESIDE.len()) else {
                continue;
            };
            place.fill(0);
            if let Some(start) = place.get_mut(..BESIDE.len()) {
                start.copy_from_slice(BESIDE);
            }
            return Ok((content, library.file_name().map(OsStr::to_owned)));
        }
        Ok((content, None))
    }

    fn libraries(&self) -> io::Result<Vec<PathBuf>> {
        let start = format!("libpython{}", self.version);
        let mut found = Vec::new();
        for child in fs_err::read_dir(self.root.join("lib"))? {
            let child = child?;
            let name = child.file_name().to_string_lossy().into_owned();
            let is_old = name.starts_with(&format!("{start}m."));
            if (is_old || name.starts_with(&format!("{start}."))) && name.contains(".so") {
                found.push(child.path());
            }
        }
        found.sort();
        Ok(found)
    }

    /// Writes Python itself and what stands in for conda below a directory that stands for the
    /// root; without packages, whose files later levels may then replace.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub(crate) fn write(&self, root: &Directory) -> io::Result<()> {
        shim::write(root)?;
        let to = root.make_directory(place())?;
        let bin = to.make_directory("bin")?;
        to.make_directory("lib")?;
        let program = self.program();
        let (content, library) = self.moved_program()?;
        bin.write(&program, &content, 0o755)?;
        if let Some(library) = library {
            let target = Path::new("../lib").join(library);
            bin.symlink(target, "libpy")?;
        }
        for name in ["python", "python3"] {
            bin.symlink(&program, name)?;
        }
        for name in [format!("{program}-config"), format!("{program}m-config")] {
            let from = self.root.join("bin").join(&name);
            if from.is_file() {
                self.copy(&from, (&bin, Path::new(&name)))?;
            }
        }
        for library in self.libraries()? {
            let name = library.file_name().unwrap_or_default();
            self.copy_any(&library, (&to, &Path::new("lib").join(name)))?;
        }
        let library = Path::new("lib").join(&program);
        self.copy_tree(&self.root.join(&library), (&to, &library))?;
        to.make_directory(library.join("site-packages"))?;
        for name in [program.clone(), format!("{program}m")] {
            let include = Path::new("include").join(&name);
            if self.root.join(&include).is_dir() {
                self.copy_tree(&self.root.join(&include), (&to, &include))?;
            }
        }
        Ok(())
    }

    /// Writes what installs packages, as the environment's own.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn write_installers(&self, root: &Directory) -> io::Result<()> {
        let to = root.make_directory(place())?;
        let packages = Path::new("lib").join(self.program()).join("site-packages");
        to.make_directory(&packages)?;
        let Ok(children) = fs_err::read_dir(self.root.join(&packages)) else {
            return Ok(());
        };
        for child in children {
            let child = child?;
            let name = child.file_name().to_string_lossy().into_owned();
            let stem = name.split_once('-').map_or(name.as_str(), |(stem, _)| stem);
            let is_metadata = name.ends_with(".dist-info") || name.ends_with(".egg-info");
            let wanted = INSTALLERS.contains(&name.as_str())
                || (is_metadata && INSTALLERS.contains(&stem))
                || ["easy_install.py", "distutils-precedence.pth"].contains(&name.as_str());
            if !wanted {
                continue;
            }
            let target = packages.join(&name);
            match child.path().is_dir() {
                true => self.copy_tree(&child.path(), (&to, &target))?,
                false => self.copy_any(&child.path(), (&to, &target))?,
            }
        }
        Ok(())
    }

    /// Whether there is something to install packages with.
    #[must_use]
    pub(crate) fn has_pip(&self) -> bool {
        let packages = self.root.join("lib").join(self.program());
        packages.join("site-packages/pip").is_dir()
    }

    fn copy_tree(&self, from: &Path, (root, to): (&Directory, &Path)) -> io::Result<()> {
        root.make_directory(to)?;
        for child in fs_err::read_dir(from)? {
            let child = child?;
            let name = child.file_name();
            let text = name.to_string_lossy();
            let is_directory = child.file_type()?.is_dir();
            if is_directory && UNUSED.contains(&&*text) || text.ends_with(".a") || text == MARK {
                continue;
            }
            // Other projects import what helps the standard library's tests.
            if is_directory && from.ends_with("test") && text != "support" {
                continue;
            }
            if from.ends_with("test") && text.starts_with("test_") {
                continue;
            }
            let target = to.join(&name);
            match is_directory {
                true => self.copy_tree(&child.path(), (root, &target))?,
                false => self.copy_any(&child.path(), (root, &target))?,
            }
        }
        Ok(())
    }

    fn copy_any(&self, from: &Path, to: (&Directory, &Path)) -> io::Result<()> {
        if fs_err::symlink_metadata(from)?.is_symlink() {
            let target = fs_err::read_link(from)?;
            // One that leads elsewhere on this machine would lead nowhere.
            if target.is_relative() && !target.starts_with("..") {
                return to.0.symlink(target, to.1);
            }
        }
        match from.is_file() {
            true => self.copy(from, to),
            false => Ok(()),
        }
    }

    /// Copies a file and makes it look for its prefix where it will be.
    fn copy(&self, from: &Path, (root, to): (&Directory, &Path)) -> io::Result<()> {
        let mut content = fs_err::read(from)?;
        let depth = from
            .strip_prefix(&self.root)
            .map_or(1, |path| path.components().count().saturating_sub(1));
        relocate(&mut content, &self.root, depth);
        let executable = fs_err::metadata(from)?.mode() & 0o100 != 0;
        root.write(to, &content, if executable { 0o755 } else { 0o644 })
    }
}

/// Replaces a prefix' own path: in text by that of the environment, in a program's or library's
/// search path by one relative to itself (ld.so(8), `$ORIGIN`), which has to be no longer.
fn relocate(content: &mut Vec<u8>, root: &Path, depth: usize) {
    let old = root.as_os_str().as_encoded_bytes();
    if old.len() < 2 {
        return;
    }
    if content.starts_with(b"\x7fELF") {
        let search = [&[0], old, b"/lib\0"].concat();
        let up = vec![".."; depth].join("/");
        let new = match depth {
            0 => "$ORIGIN/lib".to_owned(),
            _ => format!("$ORIGIN/{up}/lib"),
        };
        let room = search.len() - 2;
        let places: Vec<usize> = memchr::memmem::find_iter(content, &search).collect();
        for at in places {
            if let (true, Some(place)) = (new.len() <= room, content.get_mut(at + 1..at + 1 + room))
            {
                place.fill(0);
                if let Some(start) = place.get_mut(..new.len()) {
                    start.copy_from_slice(new.as_bytes());
                }
            }
        }
        return;
    }
    if content.contains(&0) || memchr::memmem::find(content, old).is_none() {
        return;
    }
    // `/usr` is part of too many other paths.
    if old == b"/usr" || old == b"/usr/local" {
        return;
    }
    let new = format!("/{}", place().display());
    let mut replaced = Vec::with_capacity(content.len());
    let mut rest = content.as_slice();
    while let Some(at) = memchr::memmem::find(rest, old) {
        replaced.extend_from_slice(rest.get(..at).unwrap_or_default());
        replaced.extend_from_slice(new.as_bytes());
        rest = rest.get(at + old.len()..).unwrap_or_default();
    }
    replaced.extend_from_slice(rest);
    *content = replaced;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, content: &[u8]) {
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }

    #[test]
    fn a_prefix_is_found_by_its_version_and_copied_without_packages() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(directory.path())
            .unwrap()
            .join("3.9.18");
        let at = root.display();
        file(
            &root.join("bin/python3.9"),
            format!("\x7fELF\0{at}/lib\0end").as_bytes(),
        );
        let config = "lib/python3.9/_sysconfigdata.py";
        file(&root.join(config), format!("prefix = '{at}'").as_bytes());
        for path in [
            "EXTERNALLY-MANAGED",
            "test/test_x.py",
            "test/support/__init__.py",
            "site-packages/own.py",
            "site-packages/pip/__init__.py",
            "site-packages/pip-1.dist-info/RECORD",
        ] {
            file(&root.join("lib/python3.9").join(path), b"x");
        }
        assert_eq!(PythonPrefix::find(directory.path(), "3.8"), None);
        let found = PythonPrefix::find(directory.path(), "3.9").unwrap();
        assert_eq!(PythonPrefix::find(&root, "3.9").unwrap(), found);
        assert_eq!(found.key().unwrap(), found.key().unwrap());
        let to = directory.path().join("to");
        fs_err::create_dir(&to).unwrap();
        let root = Directory::open(&to).unwrap();
        found.write(&root).unwrap();
        let environment = to.join("opt/miniconda3/envs/testbed");
        let program = fs_err::read(environment.join("bin/python3.9")).unwrap();
        assert!(program.starts_with(b"\x7fELF\0$ORIGIN/../lib\0\0"));
        assert!(program.ends_with(b"\0\0end"));
        assert_eq!(
            fs_err::read(environment.join(config)).unwrap(),
            b"prefix = '/opt/miniconda3/envs/testbed'"
        );
        let library = environment.join("lib/python3.9");
        assert!(library.join("test/support/__init__.py").exists());
        for path in [
            "test/test_x.py",
            "site-packages/own.py",
            "site-packages/pip",
        ] {
            assert!(!library.join(path).exists(), "{path}");
        }
        found.write_installers(&root).unwrap();
        assert!(library.join("site-packages/pip/__init__.py").exists());
        assert!(
            library
                .join("site-packages/pip-1.dist-info/RECORD")
                .exists()
        );
        assert!(!library.join("site-packages/own.py").exists());
    }

    #[test]
    fn a_program_that_no_path_leads_to_its_library_finds_it_beside_itself() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(directory.path()).unwrap().join("3.9");
        let program = |text: &str| file(&root.join("bin/python3.9"), text.as_bytes());
        file(&root.join("lib/libpython3.9.so.1.0"), b"\x7fELF");
        file(&root.join("lib/python3.9/os.py"), b"");
        program("\x7fELF\0libc.so.6\0libpython3.9.so.1.0\0end");
        let found = PythonPrefix::find(&root, "3.9").unwrap();
        let written = |name: &str| {
            let to = directory.path().join(name);
            fs_err::create_dir(&to).unwrap();
            found.write(&Directory::open(&to).unwrap()).unwrap();
            to.join("opt/miniconda3/envs/testbed")
        };
        let key = found.key().unwrap();
        let to = written("without");
        let content = fs_err::read(to.join("bin/python3.9")).unwrap();
        assert!(content.starts_with(b"\x7fELF\0libc.so.6\0$ORIGIN/libpy\0\0"));
        assert!(content.ends_with(b"\0\0end"));
        let library = fs_err::read(to.join("bin/libpy")).unwrap();
        assert_eq!(library, b"\x7fELF");
        // One that has a path is left as it is.
        program(&format!(
            "\x7fELF\0libpython3.9.so.1.0\0{}/lib\0end",
            root.display()
        ));
        let to = written("with");
        let content = fs_err::read(to.join("bin/python3.9")).unwrap();
        assert!(content.starts_with(b"\x7fELF\0libpython3.9.so.1.0\0$ORIGIN/../lib\0"));
        assert!(!to.join("bin/libpy").exists());
        assert_ne!(found.key().unwrap(), key);
    }
}
