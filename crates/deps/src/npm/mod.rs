//! npm packages: lockfiles, tarballs, and the `node_modules` that they make. No script of a
//! package ever runs.

pub mod choose;
mod error;
pub mod install;
mod integrity;
pub mod lockfile;
pub mod manifest;
mod name;
pub mod registry;
pub mod resolve;
pub mod tarball;

pub use error::NpmError;
pub use lockfile::{Lockfile, Package};
