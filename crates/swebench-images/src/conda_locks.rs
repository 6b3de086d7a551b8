//! What packages were chosen for environments that upstream did not freeze, as files: the next run takes the same.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::images_error::ImagesError;
use ohoci_conda::record::Located;
use ohoci_conda::virtual_package::Target;
use ohoci_swebench::names;

/// The only version of the format so far.
const VERSION: u32 = 1;

/// Largest lock that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// A directory with a lock for each environment, if there is to be one.
#[derive(Clone, Debug)]
pub(crate) struct CondaLocks {
    directory: Option<PathBuf>,
    /// Whether new ones are written.
    is_written: bool,
}

/// What was chosen, and for what. It names channels and no hosts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CondaLock {
    version: u32,
    /// What the environment asks for.
    specs: Vec<String>,
    /// What the machine has that it is for.
    virtual_packages: Vec<String>,
    packages: Vec<Located>,
}

impl CondaLocks {
    /// Locks in that directory.
    #[must_use]
    pub(crate) fn new(directory: Option<&Path>, is_written: bool) -> Self {
        Self {
            directory: directory.map(Path::to_owned),
            is_written,
        }
    }

    /// The lock of the environment whose image has this name.
    fn path(&self, image: &str) -> Option<PathBuf> {
        let name = format!("{}.conda.json", names::log_directory(image));
        self.directory
            .as_ref()
            .map(|directory| directory.join(name))
    }

    /// The packages that were chosen for an environment; `None` where it has no lock, or one that is for another
    /// question.
    ///
    /// # Errors
    /// A lock that cannot be read, or means harm.
    pub(crate) fn read(
        &self,
        image: &str,
        specs: &[String],
        target: &Target,
    ) -> Result<Option<Vec<Located>>, ImagesError> {
        let Some(path) = self.path(image) else {
            return Ok(None);
        };
        let fail = |why: String| ImagesError::CondaLock {
            path: path.clone(),
            why,
        };
        let mut text = Vec::new();
        match ohoci_files::regular::open(&path) {
            Ok(file) => file.take(MAX_FILE).read_to_end(&mut text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        }
        .map_err(|error| fail(error.to_string()))?;
        let lock: CondaLock =
            serde_json::from_slice(&text).map_err(|error| fail(error.to_string()))?;
        if lock.version != VERSION {
            let why = format!("it has version {}, and {VERSION} is known", lock.version);
            return Err(fail(why));
        }
        if let Some(wrong) = lock
            .packages
            .iter()
            .find(|package| !package.is_consistent())
        {
            return Err(fail(format!(
                "{} is no file of {}",
                wrong.file_name, wrong.record
            )));
        }
        let is_same = lock.specs == specs && lock.virtual_packages == target.virtual_packages();
        Ok(is_same.then_some(lock.packages))
    }

    /// Writes the lock of an environment, where there is a directory for it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(
        &self,
        image: &str,
        specs: &[String],
        target: &Target,
        packages: &[Located],
    ) -> Result<(), ImagesError> {
        let Some(path) = self.path(image).filter(|_| self.is_written) else {
            return Ok(());
        };
        let lock = CondaLock {
            version: VERSION,
            specs: specs.to_vec(),
            virtual_packages: target.virtual_packages(),
            packages: packages.to_vec(),
        };
        let directory = path.parent().unwrap_or(Path::new("."));
        serde_json::to_vec_pretty(&lock)
            .map_err(std::io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                fs_err::create_dir_all(directory)?;
                fs_err::write(&path, text)
            })
            .map_err(|error| ImagesError::CondaLock {
                why: error.to_string(),
                path,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_conda::record::Record;

    fn package(file_name: &str) -> Located {
        Located {
            record: Record {
                name: "a".to_owned(),
                version: "1".to_owned(),
                build: "0".to_owned(),
                subdir: "noarch".to_owned(),
                ..Record::default()
            },
            file_name: file_name.to_owned(),
            channel: "c".to_owned(),
        }
    }

    #[test]
    fn a_lock_is_for_one_question_and_holds_files_of_channels_only() {
        let directory = tempfile::tempdir().unwrap();
        let locks = CondaLocks::new(Some(directory.path()), true);
        let (specs, target) = (vec!["a".to_owned()], Target::oldest("linux-64"));
        assert_eq!(locks.read("e:latest", &specs, &target).unwrap(), None);
        let packages = vec![package("a-1-0.conda")];
        locks.write("e:latest", &specs, &target, &packages).unwrap();
        assert_eq!(
            locks.read("e:latest", &specs, &target).unwrap(),
            Some(packages.clone())
        );
        let newer = Target {
            glibc: "2.36".to_owned(),
            ..target.clone()
        };
        assert_eq!(locks.read("e:latest", &specs, &newer).unwrap(), None);
        assert_eq!(locks.read("e:latest", &[], &target).unwrap(), None);
        let harm = vec![package("../../a-1-0.conda")];
        locks.write("e:latest", &specs, &target, &harm).unwrap();
        let error = locks
            .read("e:latest", &specs, &target)
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("../../a-1-0.conda is no file of a=1=0"),
            "{error}"
        );
        let silent = CondaLocks::new(Some(directory.path()), false);
        silent.write("other", &specs, &target, &packages).unwrap();
        assert_eq!(silent.read("other", &specs, &target).unwrap(), None);
    }
}
