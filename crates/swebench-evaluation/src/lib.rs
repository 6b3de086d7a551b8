//! Runs predictions of SWE-bench in sandboxes, grades what their tests write, and tells of it in
//! upstream's files and in its own. [`run::evaluate`] runs and grades, [`finished::Finished`] writes what
//! came of it, and [`regrade::regrade`] grades once more what a run left.

mod advice;
pub mod assets;
pub mod carried;
pub mod carrier;
pub mod coming;
pub mod diagnosis;
pub mod engine;
mod evaluator;
pub mod finished;
mod folder;
pub mod grader;
pub mod image;
pub mod instance;
mod instance_log;
pub mod outcome;
mod output;
mod patching;
mod python;
mod reader;
pub mod regrade;
pub mod results;
pub mod roots;
pub mod run;
pub mod run_folder;
mod sandboxed;
pub mod workers;

pub use evaluator::Evaluator;
pub use grader::{Grader, Who};
pub use image::{ImageNames, Images};
pub use instance_log::Clock;
pub use outcome::{Count, Key, Outcome, Status};
pub use output::Follow;
pub use reader::Readers;
pub use results::Results;
pub use roots::{Roots, RootsError};
