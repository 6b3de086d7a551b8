//! The files that commands of SWE-bench read: datasets and predictions.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{hub, parquet};
use crate::failure::Failure;
use crate::output;
use ohoci_config::Environment;
use ohoci_files::regular;
use ohoci_swebench::predictions::{GOLD, PredictionError, Predictions};
use ohoci_swebench::row::{self, Place, Row, RowError};
use ohoci_swebench::specs::Catalogue;
use ohoci_swebench::way::{PARSER_FILE, SCRIPT_FILE};

/// The largest file that is read, in bytes: datasets and logs are far below.
const LARGEST: u64 = 1 << 30;

/// The content of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let fail = |why: String| Failure::new(format!("cannot read {}", path.display()), why);
    let file = regular::open(path).map_err(|error| fail(error.to_string()))?;
    let mut content = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut content)
        .map_err(|error| fail(error.to_string()))?;
    if content.len() as u64 > LARGEST {
        return Err(fail(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(content)
}

/// A dataset's instances: from a `.json`, a `.jsonl` or a `.parquet`, from a directory with one of
/// those for each split, or by the name that the dataset has on Hugging Face's hub.
pub(super) fn rows(path: &Path, split: &str) -> Result<Vec<Row>, Failure> {
    all_rows(&files(path, split)?)
}

/// The files that a dataset comes to: itself, or those of its split.
pub(super) fn files(path: &Path, split: &str) -> Result<Vec<PathBuf>, Failure> {
    if path.is_dir() {
        let files = hub::of_split(path, split);
        if files.is_empty() {
            return Err(Failure::new(
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
        Some(name) => hub::files(&name, split, &Environment::of_process()),
        None => Ok(vec![path.to_owned()]),
    }
}

/// Gives rows of SWE-bench Pro the scripts that run and read their tests, from a folder that has one of
/// its own for each instance.
pub(super) fn take_scripts(rows: &mut [Row], directory: Option<&Path>) -> Result<(), Failure> {
    let Some(directory) = directory else {
        return Ok(());
    };
    let text = |path: PathBuf| {
        let content = read(&path)?;
        String::from_utf8(content)
            .map_err(|_| Failure::new(format!("cannot use {}", path.display()), "it is not UTF-8"))
    };
    for row in rows.iter_mut().filter(|row| row.awaits_scripts()) {
        // The name is one folder's: rows are read so.
        let folder = directory.join(&row.instance_id);
        if folder.is_dir() {
            let script = text(folder.join(SCRIPT_FILE))?;
            row.take_scripts(&script, text(folder.join(PARSER_FILE))?);
        }
    }
    Ok(())
}

/// Whether a dataset is one file, which is one split.
pub(super) fn is_one_file(path: &Path) -> bool {
    path.is_file() || has_known_end(path)
}

fn has_known_end(path: &Path) -> bool {
    matches!(extension(path), Some("json" | "jsonl" | "parquet"))
}

fn all_rows(files: &[PathBuf]) -> Result<Vec<Row>, Failure> {
    let mut all = Vec::new();
    for file in files {
        all.extend(rows_of(file)?);
    }
    Ok(all)
}

fn rows_of(path: &Path) -> Result<Vec<Row>, Failure> {
    let unusable =
        |why: String| Failure::new(format!("cannot use the dataset {}", path.display()), why);
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
            rows.map(|(index, row)| Row::from_value(row, Place::Member(index + 1)))
                .collect::<Result<_, _>>()
                .map_err(|error| unusable(error.to_string()))
        }
        _ => Err(Failure::usage(format!(
            "the dataset {} is no .json, .jsonl or .parquet file",
            path.display()
        ))
        .hinted(
            "name the file that holds its rows with --dataset-name, or a dataset of the hub: OWNER/NAME, \
             full, lite, verified, multilingual or multimodal",
        )),
    }
}

/// How versions of repositories are installed and tested: upstream's table, and a user's own before
/// it.
pub(super) fn catalogue(own: Option<&Path>) -> Result<Catalogue, Failure> {
    let mut catalogue = Catalogue::upstream()
        .map_err(|error| Failure::new("cannot use upstream's table", error.to_string()))?;
    if let Some(path) = own {
        let own = Catalogue::parse(&read(path)?).map_err(|error| {
            Failure::new(
                format!("cannot use {}", path.display()),
                format!("it is no table of repositories: {error}"),
            )
            .hinted(
                "{\"repositories\": {\"OWNER/NAME\": [{\"versions\": [\"1.0\"], \"python\": \"3.9\", \"install\": …, \"test_cmd\": …}]}}",
            )
        })?;
        catalogue.extend(own);
    }
    Ok(catalogue)
}

/// Refuses instances that cannot be graded, and warns of those that any patch resolves.
pub(super) fn check_graded(rows: &[Row]) -> Result<(), Failure> {
    row::check_graded(rows).map_err(|error| {
        Failure::new("cannot grade by the dataset", error.to_string()).hinted(
            "take one whose rows name their tests: FAIL_TO_PASS and PASS_TO_PASS, which may be empty lists",
        )
    })?;
    let without_tests = |row: &&Row| row.fail_to_pass.is_empty() && row.pass_to_pass.is_empty();
    for row in rows.iter().filter(without_tests) {
        output::warning(&format!(
            "{} names no tests: any patch that applies resolves it",
            row.instance_id
        ));
    }
    Ok(())
}

/// Predictions from a `.json` or a `.jsonl`, or the dataset's own patches for `gold`. A model that
/// no prediction names is called after the file.
pub(super) fn predictions(name: &str, rows: &[Row]) -> Result<Predictions, Failure> {
    let unusable = |error: PredictionError| {
        let hint = hint(&error);
        let failure = Failure::new(
            format!("cannot use the predictions {name}"),
            error.to_string(),
        );
        match hint {
            Some(hint) => failure.hinted(hint),
            None => failure,
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
            return Err(Failure::usage(format!(
                "the predictions {name} are neither a .json nor a .jsonl file, nor `gold`"
            )));
        }
    };
    let model = path.file_stem().and_then(|stem| stem.to_str());
    let predictions = Predictions::read(&read(path)?, is_lines, model).map_err(unusable)?;
    for id in predictions.repaired() {
        output::warning(&format!(
            "the patch of {id} has half a character (a lone surrogate), which no file can hold: U+FFFD is in its place"
        ));
    }
    Ok(predictions)
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

fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}
