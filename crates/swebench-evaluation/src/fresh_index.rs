//! git's index of an image's repository, true for this machine.
//!
//! By its index git tells which files are as they were committed without reading them: it compares what
//! the file system says of each, dates, inode and owner included, with what it said before (gitformat-index(5)).
//! An image's index tells what was so where the image was made, so that git reads every file once more,
//! and twice for a diff, which is how upstream's evaluations begin: 30,000 files take seconds.
//!
//! Nothing in an image can prevent that but a setting (`core.checkStat=minimal`) by which git also
//! overlooks one file taking another's place that has the same size and date, and in an image all dates are
//! alike. So it is prevented on the machine: the image's own git looks once which files are as committed,
//! before anything else has run, and the index that it writes is kept over the layers for all evaluations.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;

use super::evaluator::Evaluator;
use super::roots::ImageRoot;
use super::sandboxed::{SandboxError, Sandboxed};
use ohoci_files::blocking::blocking;
use ohoci_layer::LayerPath;
use ohoci_node::{Added, AddedFile, Addition};
use ohoci_sandbox::CopyOnWrite;
use ohoci_sandbox::merged::Node;
use ohoci_swebench::row::Row;

/// An index of fewer bytes has so few files that git has read them before it could be asked.
const LEAST: u64 = 32 << 10;

/// Largest index that is kept, in bytes: one of a million files takes 100 MB.
const MOST: u64 = 128 << 20;

/// Where an index is, and its permissions.
#[derive(Clone, Debug)]
struct Found {
    path: PathBuf,
    mode: u32,
}

impl Evaluator {
    /// Puts an index over an image's layers that is true here, unless that was done before. Where it
    /// cannot be, git reads all files, as it would have without.
    pub(super) async fn refresh_index(&self, root: &Arc<ImageRoot>, row: &Row) {
        // Elsewhere than in the kernel's overlay, files have other inodes every time.
        if self.way != CopyOnWrite::Overlay {
            return;
        }
        root.addition
            .get_or_init(|| async { Box::pin(self.addition(root, row)).await.ok().flatten() })
            .await;
    }

    async fn addition(
        &self,
        root: &Arc<ImageRoot>,
        row: &Row,
    ) -> Result<Option<Addition>, SandboxError> {
        let (below, directory) = (Arc::clone(root), PathBuf::from(&row.way.directory));
        let found = blocking(move || Ok::<_, std::io::Error>(find(&below, &directory))).await?;
        let (Some(stack), Some(found)) = (&root.stack, found) else {
            return Ok(None);
        };
        let store = self.roots.store();
        let name = format!("index {}", found.path.display());
        let adding = match store.addition(stack, &name).await? {
            Added::There(addition) => return Ok(Some(addition)),
            Added::Missing(adding) => adding,
        };
        let (way, scratch, below) = (self.way.clone(), self.scratch.clone(), Arc::clone(root));
        let workspace = blocking(move || below.workspace(&way, &scratch)).await?;
        let inside = Sandboxed::new(self, root, workspace, row, None)?;
        inside.refresh_index().await?;
        let store = store.clone();
        blocking(move || {
            let content = inside.written(&found.path, MOST);
            drop(inside);
            let path = LayerPath::parse(found.path.as_os_str().as_bytes());
            let file = path.ok().zip(content).map(|(path, content)| AddedFile {
                path,
                content,
                mode: found.mode,
            });
            adding.keep(&store, file.as_ref())
        })
        .await
        .map(Some)
        .map_err(SandboxError::Io)
    }
}

/// The index of the repository in a directory of an image, as a path from its root, where it is worth
/// refreshing.
fn find(root: &ImageRoot, directory: &Path) -> Option<Found> {
    let path = directory.join(".git/index");
    let node = root.find(&path).ok()?;
    let Node::Other { stat, .. } = &node else {
        return None;
    };
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let size = u64::try_from(stat.st_size).ok()?;
    (is_file && (LEAST..=MOST).contains(&size)).then(|| Found {
        path: path.strip_prefix("/").unwrap_or(&path).to_owned(),
        mode: stat.st_mode & 0o777,
    })
}
