//! What is said of the files that commands of SWE-bench read.

use crate::failure::Failure;
use crate::output;
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench_inputs::repairs;

/// Predictions, or the dataset's own patches for `gold`; what is wrong with some of them is said.
pub(super) fn predictions(name: &str, rows: &[Row]) -> Result<Predictions, Failure> {
    let predictions = ohoci_swebench_inputs::predictions(name, rows)?;
    for warning in repairs(&predictions) {
        output::warning(&warning);
    }
    Ok(predictions)
}
