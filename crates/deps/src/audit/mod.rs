//! Looks over finished layers: gates that a build has to pass, and reports for people.
//!
//! Layers are trees whose paths start at the image's root, as they are unpacked.

mod audited;
mod duplicates;
mod finding;
mod licences;
mod locations;
mod programs;
mod report;
mod sizes;
mod squarify;
mod treemap;

pub use audited::{Layer, Options};
pub use duplicates::Repeated;
pub use finding::{Finding, Rule, Severity};
pub use licences::Licence;
pub(crate) use licences::licences_in;
pub use report::{Audit, LayerSummary, audit};
pub use sizes::{Size, by_folder, by_package};
pub use treemap::treemap;
