//! OCI image layouts in directories (image-spec `image-layout.md`): what lies in them, and how it is put
//! there so that readers see all of it or nothing. `oci:` references and the server stand on it.
//!
//! ```
//! use ohoci_image::{Descriptor, media_type};
//! use ohoci_layout::Layout;
//!
//! # let directory = tempfile::tempdir()?;
//! let layout = Layout::create_or_open(directory.path().join("images"))?;
//! let manifest = Descriptor::of(media_type::OCI_MANIFEST, b"{}");
//! layout.put(&manifest, b"{}")?;
//! layout.update(|index| index.set(Some("v1"), &manifest, None))?;
//! assert_eq!(layout.index()?.names(), ["v1"]);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! * [`layout`], `blobs`: a layout, its `index.json` under a lock, its blobs by digest.
//! * [`index`]: what an `index.json` says. No I/O.
//! * [`staged`], [`staging`]: files that get their names when they are whole.
//! * [`region`]: content in a file, or in a part of one.

mod blobs;
pub mod error;
pub mod index;
pub mod layout;
pub mod region;
pub mod staged;
pub mod staging;

pub use blobs::{blob_path, file_size};
pub use error::{Error, ErrorKind};
pub use index::{Index, MAX_INDEX};
pub use layout::Layout;
pub use staged::StagedFile;
pub use staging::Staging;
