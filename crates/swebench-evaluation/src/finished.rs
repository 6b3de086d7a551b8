//! What is written of a finished run: upstream's summary, and ohoci's own results.

use std::path::{Path, PathBuf};

use super::outcome::Outcome;
use super::results::Results;
use super::run_folder::{RunFolder, RunFolderError, write};
use ohoci_swebench::names;
use ohoci_swebench::predictions::Predictions;
use ohoci_swebench::row::Row;
use ohoci_swebench::summary::{self, Leftovers, Summary};

/// Where the results are, beside the summary.
const FOLDER: &str = "evaluation_results";

/// A run of which is written.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// Its name.
    pub run_id: &'a str,
    /// Its folder.
    pub folder: &'a RunFolder,
    /// What it was given as its dataset.
    pub dataset: &'a str,
    /// The rows that it is about.
    pub rows: &'a [Row],
    /// The predictions.
    pub predictions: &'a Predictions,
    /// What became of them.
    pub outcomes: &'a [Outcome],
    /// When it ended, as RFC 3339 writes it.
    pub ended: &'a str,
}

/// Where it was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// The summary.
    pub summary: PathBuf,
    /// The results in all forms, with what tells their names apart in braces.
    pub results: PathBuf,
}

impl Finished<'_> {
    /// Writes the summary into a folder, and the results into one below it.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn write(&self, report_dir: &Path) -> Result<Written, RunFolderError> {
        let mut counted = Summary::default();
        for row in self.rows {
            counted.add(row, self.predictions.get(&row.instance_id), |prediction| {
                self.folder.instance(prediction)?.evidence()
            })?;
        }
        let summary = write_summary(self.run_id, report_dir, &counted, self.predictions)?;
        let model = self.predictions.model().unwrap_or_default();
        let results = Results::new(
            self.run_id,
            model,
            self.dataset,
            self.ended,
            self.outcomes,
            counted.incomplete().len(),
        );
        let folder = report_dir.join(FOLDER);
        fs_err::create_dir_all(&folder)
            .map_err(RunFolderError::at("cannot write the results to", &folder))?;
        let json = results
            .to_json()
            .map_err(RunFolderError::at("cannot write the results to", &folder))?;
        let directory =
            names::model_directory(model).map_err(|why| RunFolderError::model(model, why))?;
        let path = |kind: &str| folder.join(format!("{directory}.{}.{kind}", self.run_id));
        for (kind, content) in [
            ("json", json),
            ("xml", results.to_junit()),
            ("md", results.to_markdown()),
            ("html", results.to_html()),
        ] {
            write(&path(kind), &content)?;
        }
        Ok(Written {
            summary,
            results: path("{json,xml,md,html}"),
        })
    }
}

/// Writes upstream's summary of a model's run, and says where.
pub(crate) fn write_summary(
    run_id: &str,
    report_dir: &Path,
    counted: &Summary,
    predictions: &Predictions,
) -> Result<PathBuf, RunFolderError> {
    fs_err::create_dir_all(report_dir).map_err(RunFolderError::at(
        "cannot write the summary to",
        report_dir,
    ))?;
    let model = predictions.model().unwrap_or_default();
    let file =
        summary::file_name(model, run_id).map_err(|why| RunFolderError::model(model, why))?;
    let path = match report_dir == Path::new(".") {
        true => PathBuf::from(file),
        false => report_dir.join(file),
    };
    // No engine is behind this, so nothing can be left in one.
    let document = counted
        .to_json(predictions, Some(&Leftovers::default()))
        .map_err(RunFolderError::at("cannot write the summary to", &path))?;
    write(&path, &document)?;
    Ok(path)
}
