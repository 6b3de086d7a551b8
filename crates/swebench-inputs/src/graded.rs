//! Whether a dataset says what its patches are graded by.

use super::error::InputError;
use ohoci_swebench::row::{self, Row};

/// Refuses instances that cannot be graded, and says which ones any patch resolves, for they name no tests.
///
/// # Errors
/// When a row does not say what its tests are.
pub fn check_graded(rows: &[Row]) -> Result<Vec<String>, InputError> {
    row::check_graded(rows).map_err(|error| {
        InputError::new("cannot grade by the dataset", error.to_string()).hinted(
            "take one whose rows name their tests: FAIL_TO_PASS and PASS_TO_PASS, which may be empty lists",
        )
    })?;
    let without_tests = |row: &&Row| row.fail_to_pass.is_empty() && row.pass_to_pass.is_empty();
    let rows = rows.iter().filter(without_tests);
    let told = |row: &Row| {
        format!(
            "{} names no tests: any patch that applies resolves it",
            row.instance_id
        )
    };
    Ok(rows.map(told).collect())
}
