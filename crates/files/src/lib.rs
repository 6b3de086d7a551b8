//! Opening files that a user or a document names, without hanging on what is no regular file; and
//! working with files beside what is asynchronous.

pub mod blocking;
pub mod regular;
