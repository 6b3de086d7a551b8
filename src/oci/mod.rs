//! Pure functions over image documents: no I/O, no clock, no randomness.

pub mod annotation;
pub mod descriptor;
pub mod digest;
pub mod document;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod reference;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher};
pub use document::Document;
pub use manifest::{Content, Manifest};
pub use platform::Platform;
pub use reference::{Pointer, Reference, RegistryReference};
