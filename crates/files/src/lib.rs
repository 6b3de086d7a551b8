//! Opening files that a user or a document names, without hanging on what is no regular file.

pub mod regular;
