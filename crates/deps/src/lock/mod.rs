//! What a recipe came to: names, versions, sizes, digests. No hosts.

pub mod changes;
pub mod document;
pub mod file;
pub mod inputs;

pub use changes::{Change, Changes, stale};
pub use document::{
    DebianPackage, Lock, LockedFeature, LockedFile, LockedSource, PlatformFiles, PythonPackage,
    Release, SourceKind,
};
pub use file::{is_relative, read, write};
pub use inputs::inputs_of;
