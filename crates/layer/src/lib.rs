//! File trees, tar in and out, compression: everything between files and a layer blob.
//!
//! Synchronous: callers on a runtime run it on a blocking thread. Nothing here ever unpacks to
//! disk.

pub mod beneath;
mod blob;
mod changes;
pub mod compress;
pub mod decompress;
mod diff_id;
pub mod directory;
pub mod entry;
mod estargz;
pub mod exclude;
pub mod flatten;
mod gzip;
pub mod headers;
mod inodes;
mod layer_writer;
pub mod limits;
pub mod moved;
pub mod owner;
pub mod pack;
mod pack_options;
pub mod packed;
pub mod path;
mod pax;
pub mod recompress;
pub mod source;
mod sparse;
pub mod spool;
mod tar_field;
pub mod tar_read;
pub mod tar_tree;
pub mod tar_write;
pub mod tree;
pub mod whiteout;

pub use beneath::Directory;
pub use changes::{Changes, ChangesError, read_changes};
pub use diff_id::{Hashed, WrongDiffId};
pub use entry::{Content, Device, Entry, Kind};
pub use flatten::{FlattenError, OpenLayer, flatten, flatten_checked};
pub use pack::{PackError, PackOptions, pack, pack_tree};
pub use packed::{LayerFile, PackedLayer};
pub use path::LayerPath;
pub use source::LayerSource;
pub use tree::{Rules, Tree};
