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

pub use compile::compile;
pub use error::BytecodeError;
pub use job::{Job, Wanted};
pub use kept::compiled;
pub use key::key;
pub use tree::tree;
