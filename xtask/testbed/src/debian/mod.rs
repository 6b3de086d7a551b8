//! Debian archives for tests: keys, packages, and the files that a mirror serves.

#![expect(
    clippy::unwrap_used,
    reason = "what tests are made of either works or fails the test"
)]

pub mod archive;
pub mod deb;
pub mod key;

pub use archive::Archive;
pub use deb::Deb;
pub use key::Key;
