//! Datasets: files of rows, directories of splits, and names of Hugging Face's hub.

use std::path::{Path, PathBuf};

use super::error::InputError;
use super::file::{extension, read};
use super::{hub, parquet};
use ohoci_config::Environment;
use ohoci_swebench::row::{Location, Row, RowError};

/// A dataset's instances: from a `.json`, a `.jsonl` or a `.parquet`, from a directory with one of
/// those for each split, or by the name that the dataset has on Hugging Face's hub.
///
/// # Errors
/// When there is no such dataset on this machine, or it cannot be read.
pub fn rows(path: &Path, split: &str, environment: &Environment) -> Result<Vec<Row>, InputError> {
    let mut all = Vec::new();
    for file in files(path, split, environment)? {
        all.extend(rows_of(&file)?);
    }
    Ok(all)
}

/// The files that a dataset comes to: itself, or those of its split.
///
/// # Errors
/// When the split is not in the directory, or the named dataset not on this machine.
pub fn files(
    path: &Path,
    split: &str,
    environment: &Environment,
) -> Result<Vec<PathBuf>, InputError> {
    if path.is_dir() {
        let files = hub::of_split(path, split);
        if files.is_empty() {
            return Err(InputError::new(
                format!("cannot use the dataset {}", path.display()),
                format!("it is a directory without a file of the split {split}"),
            )
            .hinted(format!(
                "{split}.parquet, in it or in its data, or another --split"
            )));
        }
        return Ok(files);
    }
    let name = path.to_str().and_then(hub::Name::parse);
    match name.filter(|_| !path.exists() && !has_known_end(path)) {
        Some(name) => hub::files(&name, split, environment),
        None => Ok(vec![path.to_owned()]),
    }
}

/// Whether a dataset is one file, which is one split.
#[must_use]
pub fn is_one_file(path: &Path) -> bool {
    path.is_file() || has_known_end(path)
}

fn has_known_end(path: &Path) -> bool {
    matches!(extension(path), Some("json" | "jsonl" | "parquet"))
}

fn rows_of(path: &Path) -> Result<Vec<Row>, InputError> {
    let unusable =
        |why: String| InputError::new(format!("cannot use the dataset {}", path.display()), why);
    let read_as = |parse: fn(&[u8]) -> Result<Vec<Row>, RowError>| {
        parse(&read(path)?).map_err(|error| unusable(error.to_string()))
    };
    match extension(path) {
        Some("json") => read_as(Row::from_json),
        Some("jsonl") => read_as(Row::from_json_lines),
        Some("parquet") => {
            let rows = parquet::rows(read(path)?).map_err(|error| {
                unusable(format!("it cannot be read as Parquet: {error}"))
                    .hinted("save it anew with Snappy's compression, or as lines of JSON")
            })?;
            let rows = rows.iter().enumerate();
            rows.map(|(index, row)| Row::from_value(row, Location::Member(index + 1)))
                .collect::<Result<_, _>>()
                .map_err(|error| unusable(error.to_string()))
        }
        _ => Err(InputError::misnamed(format!(
            "the dataset {} is no .json, .jsonl or .parquet file",
            path.display()
        ))
        .hinted(
            "name the file that holds its rows with --dataset-name, or a dataset of the hub: OWNER/NAME, \
             full, lite, verified, multilingual or multimodal",
        )),
    }
}
