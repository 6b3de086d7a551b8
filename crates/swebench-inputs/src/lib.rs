//! Reads what commands for SWE-bench are given: datasets by file, directory or name, predictions, tables of
//! how repositories are installed, scripts of instances. What they mean is `ohoci-swebench`'s to say.
//!
//! ```
//! use std::path::Path;
//!
//! use ohoci_config::Environment;
//! use ohoci_swebench_inputs::{predictions, rows};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let dataset = folder.path().join("rows.jsonl");
//! std::fs::write(
//!     &dataset,
//!     r#"{"instance_id": "a__b-1", "repo": "a/b", "patch": "p", "test_patch": ""}"#,
//! )?;
//! let rows = rows(&dataset, "test", &Environment::of([]))?;
//! assert_eq!(predictions("gold", &rows)?.model(), Some("gold"));
//! # Ok(())
//! # }
//! ```

mod catalogue;
mod dataset;
mod error;
mod file;
mod graded;
mod hub;
mod parquet;
mod predictions;
mod scripts;

pub use catalogue::catalogue;
pub use dataset::{files, is_one_file, rows};
pub use error::InputError;
pub use graded::check_graded;
pub use predictions::{predictions, repairs};
pub use scripts::take_scripts;
