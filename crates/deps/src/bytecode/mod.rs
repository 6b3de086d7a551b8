//! Python modules compiled beforehand, by the interpreter that is packed, in a sandbox.
//!
//! Without this a server compiles its modules whenever it starts, where nothing may be written
//! below the prefix or where containers are short-lived.
//!
//! The interpreter first imports what is asked for, to find out which modules there are, and then compiles their
//! sources in chunks. It is shown what its work depends on and nothing else, and the digest of that is what results
//! are kept under.

mod compile;
mod error;
mod job;
mod kept;
mod key;
mod run;
mod shown;
mod sources;
mod tree;

pub(crate) use compile::Interpreter;
pub use error::BytecodeError;
pub(crate) use job::{Job, Wanted};
pub(crate) use kept::compiled;

/// What the interpreter runs to find out which modules there are.
const LIST: &str = include_str!("list.py");
/// What it runs to compile them.
const COMPILE: &str = include_str!("compile.py");
