//! SWE-bench's formats and verdicts: instances, predictions, names of images, their environments,
//! logs of tests, grades and reports; pure functions.

mod conda;
mod datasets;
pub mod environment;
pub mod eval_script;
mod eval_type;
mod field;
pub mod frozen;
pub mod grading;
mod here;
mod infra_failure;
mod json_text;
pub mod log_parser;
pub mod names;
pub mod patch_paths;
mod pattern;
pub mod predictions;
mod python_json;
mod python_repr;
mod python_text;
pub mod row;
pub mod setup_script;
pub mod specs;
pub mod summary;
mod touched;
pub mod way;
