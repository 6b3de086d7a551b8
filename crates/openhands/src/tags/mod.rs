//! The tags that OpenHands looks images up by, and ohoci's own that never go stale.
//!
//! * [`scheme`]: a way of naming with all its inputs but the base; the entry point.
//! * [`v0`]: runtime images of OpenHands up to 0.62, with [`dirhash`] for its source.
//! * [`v1`]: agent-server images of the software-agent-sdk.
//! * [`bench`](mod@bench): evaluation images of the benchmarks.
//! * [`content`]: from the digests of everything that goes in.
//! * [`naming`](mod@naming): the targets of compose jobs, tagged.
//! * [`legal`](mod@legal): what becomes of a tag that no registry would take.

pub mod bench;
pub mod content;
pub mod dirhash;
mod error;
mod hash;
pub mod legal;
pub mod naming;
pub mod scheme;
pub mod v0;
pub mod v1;

pub use error::TagError;
pub use naming::{Naming, NamingError};
pub use scheme::Scheme;
