//! A file of this machine as a blob's content.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use fs_err::File;

use super::Body;
use super::region::{BlobFiles, FileBody, Region};
use crate::oci::{Descriptor, Digest};

#[derive(Debug)]
struct OneFile(PathBuf);

impl BlobFiles for OneFile {
    fn find(&self, _digest: &Digest) -> io::Result<Option<Region>> {
        Region::whole(File::open(&self.0)?).map(Some)
    }
}

/// The content of a file, checked against `descriptor` as it is read. Opened when the content is.
#[must_use]
pub fn file_body(path: impl Into<PathBuf>, descriptor: &Descriptor) -> Arc<dyn Body> {
    Arc::new(FileBody::new(
        Arc::new(OneFile(path.into())),
        descriptor.clone(),
    ))
}
