//! Where the registry keeps its content.
//!
//! ```text
//! DIR/NAME/oci-layout, index.json, blobs/sha256/…   a repository: an OCI image layout
//! DIR/.uploads/                                     unfinished uploads, and the server's lock
//! ```
//!
//! * `index.json` lists every tag, and every manifest that has no tag and is listed by no index.
//!   Entries that the registry cannot serve are kept as they are.
//! * Every file is written below `.uploads`, blobs are verified there, and then it is renamed into
//!   place: it is there whole or not at all. Repositories share blobs by hard links.
//! * A change to an index is acknowledged when the new `index.json` is in place. Changes
//!   that arrive while one is being written share the next. Rewriting costs less than a millisecond for thousands of tags, so that there is no
//!   journal that a reader of the layout would have to know of.
//! * A killed server therefore loses nothing that it acknowledged; unfinished uploads are thrown
//!   away at the next start. With [`Options::sync`](super::Options::sync), data is flushed before
//!   it gets its name. Directories are not flushed: after a power cut a journaling filesystem may
//!   be a few seconds behind, but no name has wrong content.
//! * An index is read when its repository is first asked for, and held in memory from then on:
//!   what other programs write into a repository while the server runs may go unnoticed or be
//!   overwritten. Blobs are looked up on disk every time.

mod index;
mod repository;
mod root;
mod upload;

pub(super) use index::{Facts, Found, is_manifest};
pub(super) use repository::Repository;
pub(super) use root::{OpenError, Storage, lock_in};
pub(super) use upload::{IdleLimits, Session, Sink, WriteError};
