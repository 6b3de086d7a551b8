//! Files that somebody names: opened without being held up by what is no file.

pub mod regular;
