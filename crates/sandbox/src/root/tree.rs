//! Whole directories that are put into a root file system in which nothing runs, and taken out of it.

use std::io;
use std::path::{Path, PathBuf};

use ohoci_layer::Directory;
use ohoci_layer::limits::Budget;

use super::{Backing, Found, Root, RootError};
use crate::merged::Merged;
use crate::merged_copy::Copied;

impl Root {
    /// Puts everything that a directory of this machine has into the one at a path, which is made where
    /// it is missing, with all above it. Symlinks on the way to it are followed inside, none below it
    /// is, and those of the directory that is put are put as they are. Returns its path without symlinks.
    ///
    /// # Errors
    /// When something cannot be read or made, is a directory in one of them and not in the other, or
    /// comes to more than the budget; what was put there until then stays.
    pub fn put_directory(
        &self,
        path: &Path,
        from: &Directory,
        budget: &Budget,
    ) -> Result<(PathBuf, Copied), RootError> {
        let real = self.directory(path)?;
        let put = match &self.place {
            Backing::Directory(_) => self.alone().and_then(|one| one.put(from, &real, budget)),
            Backing::Merged(merged) => merged.put(from, &real, budget),
        };
        let copied = put.map_err(|error| self.error("write into", path, error))?;
        Ok((real, copied))
    }

    /// Copies everything that the directory at a path has into one of this machine that is empty; `None`
    /// where there is none. Symlinks on the way to it are followed inside, and those below it are copied as
    /// they are: they lead to wherever they say.
    ///
    /// # Errors
    /// When something cannot be copied, or comes to more than the budget; what was copied until then
    /// stays.
    pub fn copy_directory(
        &self,
        path: &Path,
        to: &Path,
        budget: &Budget,
    ) -> Result<Option<Copied>, RootError> {
        if self.find(path) != Some(Found::Directory) {
            return Ok(None);
        }
        let copied = |merged: &Merged| {
            let (real, _) = merged.resolve(path)?;
            merged.copy_into(&real, to, budget)
        };
        match &self.place {
            Backing::Directory(_) => self.alone().and_then(|one| copied(&one)),
            Backing::Merged(merged) => copied(merged),
        }
        .map(Some)
        .map_err(|error| self.error("copy", path, error))
    }

    /// A directory as the only one of some that are one over the other.
    fn alone(&self) -> io::Result<Merged> {
        Merged::open([self.path.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn directories_go_in_and_out_behind_the_links_that_lead_to_them() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |path: &str| scratch.path().join(path);
        for path in ["own/sub", "root/real", "top", "out/one", "out/two"] {
            fs_err::create_dir_all(at(path)).unwrap();
        }
        fs_err::write(at("own/sub/file"), "own").unwrap();
        symlink("../../../real", at("root/link")).unwrap();
        symlink("/nowhere", at("root/real/odd")).unwrap();
        let own = Directory::open(&at("own")).unwrap();
        let budget = Budget::unlimited();
        let merged = Merged::open([at("top"), at("root")]).unwrap();
        for (root, out) in [
            (Root::merged(merged, at("mounted")), "out/one"),
            (Root::open(&at("root")).unwrap(), "out/two"),
        ] {
            let (real, copied) = root
                .put_directory(Path::new("/link/in"), &own, &budget)
                .unwrap();
            assert_eq!((real.as_path(), copied.entries), (Path::new("/real/in"), 2));
            let copied = root.copy_directory(Path::new("/link"), &at(out), &budget);
            assert_eq!(copied.unwrap().unwrap().entries, 4);
            let text = fs_err::read_to_string(at(out).join("in/sub/file")).unwrap();
            assert_eq!(text, "own");
            let target = fs_err::read_link(at(out).join("odd")).unwrap();
            assert_eq!(target, Path::new("/nowhere"));
            for none in ["/none", "/link/odd", "/link/in/sub/file"] {
                let copied = root.copy_directory(Path::new(none), &at(out), &budget);
                assert_eq!(copied.unwrap(), None, "{none}");
            }
            let refused = root.put_directory(Path::new("/link/odd"), &own, &budget);
            assert!(refused.is_err());
        }
    }
}
