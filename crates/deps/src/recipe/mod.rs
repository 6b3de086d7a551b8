//! What a person asks for: features and profiles, one TOML file each.

pub mod bytecode;
pub mod debian;
pub mod feature;
pub mod load;
pub mod name;
pub mod pattern;
pub mod profile;
pub mod rootfs;
mod selection;
mod settable;
pub(crate) mod source_file;
pub mod sources;
mod values;

pub use bytecode::Bytecode;
pub use debian::Debian;
pub use feature::{Feature, Wrapper};
pub use load::Recipe;
pub use name::{FeatureName, PackageName};
pub use pattern::Pattern;
pub use profile::Profile;
pub use rootfs::RootFs;
pub use selection::{Selection, SelectionError};
pub use settable::Values;
pub use source_file::SourceFile;
pub use sources::{Archive, Conda, Directory, Image, Npm, Python};
