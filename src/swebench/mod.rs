//! `ohoci swebench`: SWE-bench without Docker.

pub mod audit_leak;
mod command;
mod failures;
mod grader;
pub mod images;
mod inputs;
mod machine;
pub mod report;
pub mod run_evaluation;
mod time;

pub(super) use command::{SwebenchCommand, run};
