//! Runs predictions of SWE-bench in sandboxes, grades what their tests write, and tells of it in
//! upstream's files and in its own. [`evaluate()`] does what a [`Request`](request::Request) asks for, and
//! [`regrade()`](regrade::regrade) grades once more what a run left.

mod advice;
mod assets;
mod building;
pub mod carried;
pub mod carrier;
mod certificate;
mod coming;
pub mod diagnosis;
mod evaluate;
mod evaluate_error;
mod evaluator;
mod fetch_assets;
pub mod finished;
mod folder;
mod fresh_index;
pub mod grader;
mod hand_over;
mod httpbin;
pub mod image;
mod instance;
mod instance_log;
pub mod observer;
pub mod outcome;
mod output;
mod patching;
mod python;
mod read;
mod reader;
mod record;
pub mod regrade;
pub mod request;
mod results;
pub mod roots;
mod run;
pub mod run_folder;
mod sandboxed;
mod workers;

pub use evaluate::{End, evaluate};
pub use evaluate_error::EvaluateError;
pub use grader::{Grader, Who};
pub use image::{ImageNames, Images};
pub use instance_log::Clock;
pub use outcome::{Count, Key, Outcome, Status};
pub use output::Follow;
pub use reader::Readers;
pub use results::Results;
pub use roots::{Roots, RootsError};
