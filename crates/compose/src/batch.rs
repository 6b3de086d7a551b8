//! Many images in one run: bases from a list, one target each, everything that they share moved
//! once.

pub mod journal;
pub mod pace;
pub mod queue;
pub mod record;
pub mod report;
pub mod run;
pub mod summary;
pub mod template;
pub mod work;

pub use journal::Journal;
pub use record::{Record, RecordStatus};
pub use run::{Item, Options, Outcome, Watcher, run};
pub use summary::Summary;
pub use template::Template;
pub use work::{Rebasing, Work};
