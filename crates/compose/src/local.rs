//! Layers of whoever composes: packed from this machine's files, now or for an earlier image.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use ohoci_image::{Descriptor, Digest, Platform};
use ohoci_layer::directory::Wanted;
use ohoci_layer::pack::{self, PackError};
use ohoci_layer::source::LayerSource;
use ohoci_layer::{LayerFile, LayerPath, PackOptions, PackedLayer, Tree};
use ohoci_store::file_body::{file_body, own_file_body};
use ohoci_store::{Body, Error, ErrorKind, Source};

/// Where the bytes of a [`LocalLayer`] are.
#[derive(Clone, Debug)]
pub enum LayerBytes {
    /// In a file of this machine.
    File(Arc<dyn Body>),
    /// In the image that it is taken over from.
    Image(Arc<dyn Source>),
}

/// A layer of whoever composes.
#[derive(Clone, Debug)]
pub struct LocalLayer {
    /// The blob.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Its bytes.
    pub from: LayerBytes,
    /// What it was packed from. It is written into the image, so it says nothing of where on this
    /// machine that lies.
    pub name: String,
    /// `created_by` of its history entry.
    pub created_by: String,
    /// Its directories, as far as they are known: see
    /// [`PackedLayer::directories`](ohoci_layer::PackedLayer::directories).
    pub directories: Vec<LayerPath>,
    /// The only platform that it is for; `None` is every one.
    pub platform: Option<Platform>,
    /// How it was packed, where it may be written anew as a base's symlinks have it.
    pub packing: Option<PackOptions>,
}

impl LocalLayer {
    /// Whether the image for a platform has it.
    #[must_use]
    pub(crate) fn is_for(&self, platform: &Platform) -> bool {
        let only = self.platform.as_ref();
        only.is_none_or(|only| only.selects(platform))
    }

    /// A layer that was packed. A temporary file is kept: it lies in the run's own directory, which
    /// is removed as a whole at the end.
    ///
    /// # Errors
    /// When the file cannot be kept.
    pub fn packed(name: String, packed: PackedLayer) -> Result<Self, Error> {
        let body = kept(packed.file, &packed.descriptor)?;
        Ok(Self {
            directories: packed.directories,
            from: LayerBytes::File(body),
            descriptor: packed.descriptor,
            diff_id: packed.diff_id,
            created_by: packed.created_by,
            name,
            platform: None,
            packing: None,
        })
    }

    /// Packs a tree.
    ///
    /// # Errors
    /// As [`pack_tree`](ohoci_layer::pack_tree).
    pub fn of_tree(
        name: String,
        tree: Tree,
        created_by: String,
        options: &PackOptions,
        work_dir: &Path,
    ) -> Result<Self, Error> {
        let packed = ohoci_layer::pack_tree(tree, created_by, options, work_dir);
        Self::packed(name, packed.map_err(|error| pack_error(&error))?)
    }
}

/// A layer's file as bytes that can be read again and again.
///
/// # Errors
/// When a temporary file cannot be kept.
pub(super) fn kept(file: LayerFile, descriptor: &Descriptor) -> Result<Arc<dyn Body>, Error> {
    Ok(match file {
        LayerFile::Given(path) => file_body(path, descriptor),
        LayerFile::Temporary(path) => {
            let keep = |error: tempfile::PathPersistError| {
                Error::io("cannot keep a packed layer", error.error)
            };
            own_file_body(path.keep().map_err(keep)?, descriptor)
        }
    })
}

/// Says of a path below a directory, and of whether it is a directory, whether it is packed.
pub type Selection = dyn Fn(&LayerPath, bool) -> Wanted + Send + Sync;

/// A tar, directory or other file of this machine that becomes a layer.
pub struct Given {
    /// What it is called in the image: nothing of where on this machine it lies.
    pub name: String,
    /// Where it is, and where it lands.
    pub source: LayerSource,
    /// What of a directory is packed; `None` is all of it. Says nothing of a tar.
    pub wanted: Option<Box<Selection>>,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Given")
            .field("name", &self.name)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Given {
    /// All of it, under its last name.
    #[must_use]
    pub fn new(source: LayerSource) -> Self {
        Self {
            name: bare_name(&source.path),
            source,
            wanted: None,
        }
    }
}

/// Packs what a person gave, and what is to be said of it.
///
/// # Errors
/// As [`pack()`](ohoci_layer::pack()), and for a full disk with a hint.
pub async fn pack_given(
    given: Given,
    options: PackOptions,
    work_dir: PathBuf,
) -> Result<(LocalLayer, Vec<String>), Error> {
    let Given {
        name,
        source,
        wanted,
    } = given;
    let packing = Some(options);
    // Reading, hashing and compressing keep a core busy; the network must not wait for them.
    let packed = tokio::task::spawn_blocking(move || match &wanted {
        Some(wanted) if source.path.is_dir() => {
            pack::pack_directory(&source, &options, &work_dir, wanted.as_ref())
        }
        _ => pack::pack(&source, &options, &work_dir),
    })
    .await
    .map_err(|error| Error::new(ErrorKind::Io, "cannot pack a layer", error.to_string()))?
    .map_err(|error| pack_error(&error))?;
    let notes = packed.notes.clone();
    let packed = LocalLayer::packed(name, packed)?;
    Ok((LocalLayer { packing, ..packed }, notes))
}

/// A path's last name. The image remembers it, and the same files must give the same image whichever
/// directory they lie in.
fn bare_name(path: &Path) -> String {
    path.file_name()
        .map_or(".".into(), OsStr::to_string_lossy)
        .into_owned()
}

/// Says in this crate's terms why something cannot become a layer, and of a full disk what helps.
#[must_use]
pub fn pack_error(error: &PackError) -> Error {
    let what = format!("cannot make a layer of {}", error.subject());
    let refused = Error::new(ErrorKind::Io, what, error.why().to_owned());
    match error.io().map(io::Error::kind) {
        None => match error.hint() {
            Some(hint) => refused.hinted(hint),
            None => refused,
        },
        Some(io::ErrorKind::StorageFull) => refused.hinted(
            "packed layers are written to the temporary directory; set TMPDIR to a larger one",
        ),
        _ => refused,
    }
}
