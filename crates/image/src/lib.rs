//! Pure functions over image documents: no I/O, no clock, no randomness.

pub mod annotation;
pub mod artifact;
pub mod compose;
pub mod config_patch;
mod config_value;
pub mod convert;
pub mod descriptor;
pub mod diff;
pub mod digest;
pub mod document;
pub mod env;
pub mod image_config;
pub mod index;
pub mod json;
pub mod label;
pub mod manifest;
pub mod media_type;
pub mod platform;
pub mod reference;
pub mod referrer;
mod role;
pub mod runtime_check;
pub mod shape;
pub mod timestamp;
pub mod untagged;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, Hasher};
pub use document::Document;
pub use manifest::{Content, Manifest};
pub use platform::Platform;
pub use reference::{Pointer, Reference, RegistryReference};
pub use role::Role;
