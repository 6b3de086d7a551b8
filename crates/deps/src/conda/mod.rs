//! Packages of conda: which channels this machine has, what they list, and packages' files.

pub(crate) mod archive;
pub mod channels;
pub mod choice;
pub mod error;
pub mod lists;
pub(crate) mod locked;
pub mod packages;
mod shard_place;
pub mod source;
pub mod target;
pub mod unpacked;
