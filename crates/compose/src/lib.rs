//! Plans what has to move where, and moves it.

pub mod artifact;
pub mod attach;
pub mod batch;
pub mod check;
pub mod compose;
pub mod copy;
pub mod execute;
pub mod fit;
pub mod flatten;
pub mod inspect;
pub mod plan;
pub mod read;
pub mod recompose;
mod referrers;
pub mod report;
pub mod resolver;
pub mod watch;

pub use watch::{Event, Observer, Unwatched};
