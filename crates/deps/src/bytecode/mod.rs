//! Python modules compiled beforehand, by the interpreter that is packed, in a sandbox.
//!
//! Without this a server compiles its modules whenever it starts, where nothing may be written
//! below the prefix or where containers are short-lived.

mod compile;
mod error;
mod job;
mod kept;
mod key;
mod tree;

pub(crate) use compile::compile;
pub use error::BytecodeError;
pub(crate) use job::{Job, Wanted};
pub(crate) use kept::compiled;
pub(crate) use key::key;
pub(crate) use tree::tree;
