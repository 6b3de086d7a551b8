//! Runs predictions of SWE-bench in sandboxes, grades what their tests write, and tells of it in
//! upstream's files and in its own.

pub mod carried;
pub mod diagnosis;
pub mod engine;
mod folder;
pub mod grader;
pub mod image;
pub mod instance;
mod instance_log;
pub mod outcome;
mod output;
mod patching;
pub mod results;
pub mod roots;
mod sandboxed;
pub mod workers;

pub use grader::Grader;
pub use image::{ImageNames, Images};
pub use instance::{Evaluator, Job, record, recorded};
pub use instance_log::Clock;
pub use outcome::{Count, Key, Outcome, Status};
pub use output::Follow;
pub use results::Results;
pub use roots::{Roots, RootsError};
