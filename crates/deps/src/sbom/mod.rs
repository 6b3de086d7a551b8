//! Bills of materials from a lock: what is in a deps image, for one platform.
//!
//! Pure and without clock, host or randomness: the same lock gives the same documents.

mod component;
mod cyclonedx;
mod documents;
mod spdx;

pub use cyclonedx::cyclonedx;
pub use documents::documents;
pub use spdx::spdx;
