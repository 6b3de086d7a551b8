//! Bills of materials from a lock: what is in a deps image, for one platform.
//!
//! Pure and without clock, host or randomness: the same lock gives the same documents.

mod component;
mod cyclonedx;
mod documents;
mod spdx;

pub(crate) use cyclonedx::cyclonedx;
pub(crate) use documents::documents;
pub(crate) use spdx::spdx;
