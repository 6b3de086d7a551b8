//! Debian's archives: signatures, indexes, closure, packages.

pub mod ar;
pub mod architecture;
pub mod clearsign;
pub(crate) mod closure;
pub mod deb;
pub mod freeze;
pub mod index;
pub mod keyring;
pub mod problem;
pub mod relation;
pub mod release;
pub mod repository;
pub mod resolve;
pub mod version;
