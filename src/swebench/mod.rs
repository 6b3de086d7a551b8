//! `ohoci swebench`: SWE-bench without Docker.

pub mod audit_leak;
mod command;
mod failures;
mod grader;
mod hub;
pub mod images;
mod inputs;
mod parquet;
pub mod report;
pub mod run_evaluation;
mod time;

pub(super) use command::{SwebenchCommand, run};
