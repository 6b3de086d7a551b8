//! A system of its own from Debian's packages: the files that stand at `/` before anything of them
//! has run, with dpkg's database, in which all are unpacked and none is configured.
//!
//! dpkg itself is what configures them: it runs where they are, in a sandbox.

mod assemble;
mod database;
mod error;
mod files;
mod order;
mod pre_dependencies;
mod tree;
mod triggers;

pub use assemble::{Preinst, RootFiles};
pub use error::RootFsError;
pub use files::{FilesError, files};
