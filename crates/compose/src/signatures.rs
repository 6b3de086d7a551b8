//! Signs images, verifies and shows what is signed.

pub mod signing;
pub mod tree;
pub mod verifying;
