//! The distribution client.

pub mod body;

pub use body::{Body, ByteStream};
