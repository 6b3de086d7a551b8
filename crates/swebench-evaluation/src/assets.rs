//! Files of tests that no patch holds: where they are on this machine, and how they come to a sandbox.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use ohoci_swebench::row::Row;
use ohoci_swebench::way::Asset;

/// Where such files are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assets {
    /// A folder of the user's: an instance's files at `tasks/INSTANCE/test_assets/PATH`, as
    /// upstream's repositories of tasks have them, or at `INSTANCE/PATH`.
    pub given: Option<PathBuf>,
    /// Where those that were fetched are, called after where they are from.
    pub fetched: PathBuf,
}

impl Assets {
    /// A file of an instance, if it is there.
    #[must_use]
    pub(crate) fn find(&self, instance_id: &str, asset: &Asset) -> Option<PathBuf> {
        self.given_file(instance_id, asset)
            .or_else(|| self.of_url(asset).filter(|path| path.is_file()))
    }

    /// A file of an instance, if the user has it in a folder.
    pub(super) fn given_file(&self, instance_id: &str, asset: &Asset) -> Option<PathBuf> {
        let given = self.given.as_ref()?;
        [
            given.join("tasks").join(instance_id).join("test_assets"),
            given.join(instance_id),
        ]
        .into_iter()
        .map(|folder| folder.join(&asset.path))
        .find(|path| path.is_file())
    }

    /// Where a file is kept that was fetched.
    #[must_use]
    pub(crate) fn of_url(&self, asset: &Asset) -> Option<PathBuf> {
        let url = asset.url.as_deref()?;
        Some(
            self.fetched
                .join(hex::encode(Sha256::digest(url.as_bytes()))),
        )
    }

    /// Puts an instance's files into a folder, each called by its number.
    pub(super) fn stage(&self, row: &Row, folder: &Path) -> io::Result<()> {
        fs_err::create_dir(folder)?;
        for (number, asset) in row.way.assets.iter().enumerate() {
            let path = self
                .find(&row.instance_id, asset)
                .ok_or_else(|| io::Error::other(format!("its file {} is not there", asset.path)))?;
            fs_err::copy(path, folder.join(number.to_string()))?;
        }
        Ok(())
    }
}
