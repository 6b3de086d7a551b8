//! `ohoci swebench`: SWE-bench without Docker.

pub mod audit_leak;
mod cluster;
mod command;
mod failures;
mod given;
mod grader;
pub mod images;
mod inputs;
mod machine;
pub mod report;
pub mod run_evaluation;
mod time;

pub(super) use command::{SwebenchCommand, run};
