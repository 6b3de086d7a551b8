//! Edits that make programs and scripts work below a prefix on any base.
//!
//! Every edit replaces bytes by as many bytes, so nothing in a file moves and no ELF file has to
//! be laid out anew. The loader of the C library gets other default directories and stops looking
//! at the base's cache, preload file and `LD_*` variables; programs get that loader; compiled-in
//! paths lead below the prefix. Nothing has to stand in the environment, so programs of the base
//! that are started from here behave as ever.

mod edit;
mod elf;
mod error;
mod interpreter;
mod loader;
mod loader_code;
mod scripts;
mod search_path;
mod strings;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod tree;

pub use edit::{Edit, EditKind, Kept};
pub(crate) use elf::{Elf, ElfError, Kind as ElfKind};
pub use error::RelocateError;
pub use loader::LoaderError;
pub use scripts::Programs;
pub use strings::StringError;
pub use tree::{ElfEdits, Keep, Origin, Relocated, Relocation, relocate, relocate_elf};
