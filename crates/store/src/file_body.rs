//! A file of this machine as a blob's content.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Body;
use super::blob_file::{BlobFiles, FileBody};
use ohoci_files::regular;
use ohoci_image::{Descriptor, Digest};
use ohoci_layout::region::Region;

#[derive(Debug)]
struct OneFile {
    path: PathBuf,
    is_ours: bool,
}

impl BlobFiles for OneFile {
    fn find(&self, _digest: &Digest) -> io::Result<Option<Region>> {
        Region::whole(regular::open(&self.path)?).map(Some)
    }

    fn own_file(&self, _digest: &Digest) -> Option<PathBuf> {
        self.is_ours.then(|| self.path.clone())
    }
}

/// The content of a user's file, checked against `descriptor` as it is read. Opened when the
/// content is.
#[must_use]
pub fn file_body(path: impl Into<PathBuf>, descriptor: &Descriptor) -> Arc<dyn Body> {
    body(path.into(), false, descriptor)
}

/// As [`file_body`], for a file that ohoci made and that does not change: see [`Body::file`].
#[must_use]
pub fn own_file_body(path: impl Into<PathBuf>, descriptor: &Descriptor) -> Arc<dyn Body> {
    body(path.into(), true, descriptor)
}

fn body(path: PathBuf, is_ours: bool, descriptor: &Descriptor) -> Arc<dyn Body> {
    let file = OneFile { path, is_ours };
    Arc::new(FileBody::new(Arc::new(file), descriptor.clone()))
}
