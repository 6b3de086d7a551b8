//! Where this machine's package managers find their mirrors. No host is ever written down.

pub mod apt;
pub(crate) mod apt_login;
pub mod debian;
pub mod mirror;

pub use debian::{DebianHosts, Keys};
pub use mirror::{Login, Mirror};
