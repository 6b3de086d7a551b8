//! A base's own Python for environments: a virtual environment on it. It takes no room, and is what
//! Debian's Python can be given to: its search paths are made for `/usr` alone.

use std::io;
use std::path::{Path, PathBuf};

use super::python::place;
use super::shim;
use ohoci_layer::Directory;
use ohoci_sandbox::Root;

/// Where a base may have it, in the order of a `PATH`.
const HOMES: [&str; 2] = ["/usr/local/bin", "/usr/bin"];

/// A Python that a base has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BasePython {
    /// The directory that it is in.
    home: String,
    /// Its version: two numbers.
    version: String,
}

impl BasePython {
    /// Looks for a version in a base's files.
    ///
    /// # Errors
    /// What was looked for, in words.
    pub(crate) fn find(root: &Root, version: &str) -> Result<Self, String> {
        let mut lacks = None;
        for home in HOMES {
            let program = format!("{home}/python{version}");
            if root.find(Path::new(&program)).is_none() {
                continue;
            }
            // Debian has it in a package of its own.
            let library = Path::new(home).with_file_name("lib");
            let installer = library.join(format!("python{version}/ensurepip/__init__.py"));
            if root.find(&installer).is_some() {
                return Ok(Self::new(home, version));
            }
            let why = format!(
                "the base's {program} has no ensurepip (in Debian the package python{version}-venv)"
            );
            lacks.get_or_insert(why);
        }
        Err(lacks.unwrap_or_else(|| {
            let programs = HOMES.map(|home| format!("{home}/python{version}"));
            format!("the base has no {}", programs.join(" and no "))
        }))
    }

    /// The one in that directory.
    #[must_use]
    pub(crate) fn new(home: &str, version: &str) -> Self {
        Self {
            home: home.to_owned(),
            version: version.to_owned(),
        }
    }

    /// The directory that it is in.
    #[must_use]
    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// A name for what [`Self::write`] writes.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        let Self { home, version } = self;
        format!("1 {home} {version} {}", shim::fingerprint())
    }

    /// Writes the virtual environment and what stands in for conda below a directory that stands for
    /// the root (PEP 405).
    ///
    /// # Errors
    /// When something cannot be written.
    pub(crate) fn write(&self, root: &Directory) -> io::Result<()> {
        shim::write(root)?;
        let Self { home, version } = self;
        let to = root.make_directory(place())?;
        let library: PathBuf = format!("lib/python{version}/site-packages").into();
        for directory in [Path::new("bin"), Path::new("include"), &library] {
            to.make_directory(directory)?;
        }
        let program = format!("python{version}");
        for (at, target) in [
            (format!("bin/{program}"), format!("{home}/{program}")),
            ("bin/python3".to_owned(), program.clone()),
            ("bin/python".to_owned(), program),
            ("lib64".to_owned(), "lib".to_owned()),
        ] {
            to.symlink(target, at)?;
        }
        let settings =
            format!("home = {home}\ninclude-system-site-packages = false\nversion = {version}\n");
        to.write("pyvenv.cfg", settings.as_bytes(), 0o644)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(files: &[&str]) -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        for file in files {
            let at = directory.path().join(file);
            fs_err::create_dir_all(at.parent().unwrap()).unwrap();
            fs_err::write(at, "").unwrap();
        }
        let root = Root::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn a_python_is_found_where_it_can_install_packages() {
        let (_debian, debian) = base(&[
            "usr/bin/python3.11",
            "usr/lib/python3.11/ensurepip/__init__.py",
        ]);
        let found = BasePython::find(&debian, "3.11").unwrap();
        assert_eq!(found.home(), "/usr/bin");
        let error = BasePython::find(&debian, "3.9").unwrap_err();
        assert_eq!(
            error,
            "the base has no /usr/local/bin/python3.9 and no /usr/bin/python3.9"
        );
        let (_bare, bare) = base(&["usr/bin/python3.11"]);
        let error = BasePython::find(&bare, "3.11").unwrap_err();
        assert!(error.contains("python3.11-venv"), "{error}");
    }

    #[test]
    fn the_environment_is_that_of_the_bases_python() {
        let root = tempfile::tempdir().unwrap();
        BasePython::new("/usr/bin", "3.11")
            .write(&Directory::open(root.path()).unwrap())
            .unwrap();
        let at = root.path().join(place());
        let target = fs_err::read_link(at.join("bin/python3.11")).unwrap();
        assert_eq!(target, Path::new("/usr/bin/python3.11"));
        let settings = fs_err::read_to_string(at.join("pyvenv.cfg")).unwrap();
        assert!(settings.starts_with("home = /usr/bin\n"), "{settings}");
    }
}
