//! Predictions by file, or a dataset's own patches.

use std::path::Path;

use super::error::InputError;
use super::file::{extension, read};
use ohoci_swebench::predictions::{GOLD, PredictionError, Predictions};
use ohoci_swebench::row::Row;

/// Predictions from a `.json` or a `.jsonl`, or the dataset's own patches for `gold`. A model that
/// no prediction names is called after the file.
///
/// # Errors
/// When the file cannot be read, or holds no predictions.
pub fn predictions(name: &str, rows: &[Row]) -> Result<Predictions, InputError> {
    let unusable = |error: PredictionError| {
        let hint = hint(&error);
        let error = InputError::new(
            format!("cannot use the predictions {name}"),
            error.to_string(),
        );
        match hint {
            Some(hint) => error.hinted(hint),
            None => error,
        }
    };
    if name == GOLD {
        return Predictions::gold(rows).map_err(unusable);
    }
    let path = Path::new(name);
    let is_lines = match extension(path) {
        Some("json") => false,
        Some("jsonl") => true,
        _ => {
            return Err(InputError::misnamed(format!(
                "the predictions {name} are neither a .json nor a .jsonl file, nor `gold`"
            )));
        }
    };
    let model = path.file_stem().and_then(|stem| stem.to_str());
    Predictions::read(&read(path)?, is_lines, model).map_err(unusable)
}

/// What there is to say of patches that were not taken as they are.
#[must_use]
pub fn repairs(predictions: &Predictions) -> Vec<String> {
    let repaired = predictions.repaired();
    let told = |id: &str| {
        format!(
            "the patch of {id} has half a character (a lone surrogate), which no file can hold: U+FFFD is in its place"
        )
    };
    repaired.map(told).collect()
}

/// What may help with predictions that cannot be used.
fn hint(error: &PredictionError) -> Option<&'static str> {
    match error {
        PredictionError::Row { .. } => Some("--predictions-path gold"),
        PredictionError::NoPatch { .. } => Some(
            "a prediction is {\"instance_id\": …, \"model_name_or_path\": …, \"model_patch\": …}",
        ),
        _ => None,
    }
}
