//! Archives and directories as trees, and the spool that holds the contents of their files.

mod error;
pub(crate) mod growth;
pub mod selection;
pub mod source;
pub mod spool;
pub mod tar;
pub mod zip;

pub use error::ArchiveError;
pub use selection::{Keep, Selection};
pub use spool::Spool;
