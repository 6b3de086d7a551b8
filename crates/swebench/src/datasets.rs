//! Datasets whose rows are not SWE-bench's own: each adapter says of such a row what a row of SWE-bench
//! would say, and what is done otherwise than by SWE-bench's harness.

mod gym;
mod live;
mod multi;
mod pro;
mod python_literal;

use std::fmt;

use serde_json::{Map, Value};

use super::json_text;
use super::row::{EvalType, FieldProblem, Row};
use super::specs::Specs;

pub use pro::{PARSER_FILE, SCRIPT_FILE};

/// Which dataset a row is of, by its fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dataset {
    /// SWE-bench, and those in its shape.
    #[default]
    SweBench,
    /// SWE-bench-Live.
    Live,
    /// SWE-bench Pro.
    Pro,
    /// Multi-SWE-bench.
    Multi,
    /// SWE-Gym.
    Gym,
    /// R2E-Gym.
    R2eGym,
}

impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SweBench => "SWE-bench",
            Self::Live => "SWE-bench-Live",
            Self::Pro => "SWE-bench Pro",
            Self::Multi => "Multi-SWE-bench",
            Self::Gym => "SWE-Gym",
            Self::R2eGym => "R2E-Gym",
        })
    }
}

/// Fields that only rows of such datasets have.
const FIELDS: [(&str, Dataset); 4] = [
    ("test_cmds", Dataset::Live),
    ("selected_test_files_to_run", Dataset::Pro),
    ("fix_patch", Dataset::Multi),
    ("expected_output_json", Dataset::R2eGym),
];

/// What is done with a row, where that depends on its dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The dataset.
    pub dataset: Dataset,
    /// The repository's directory in the image.
    pub directory: String,
    /// A line of a shell that comes before each that looks at the repository.
    pub enter: Option<String>,
    /// A line of a shell that comes before the patch.
    pub prepare: Option<String>,
    /// How the model's patch comes to the repository.
    pub patching: Patching,
    /// What reads the log, where no parser of SWE-bench does.
    pub reader: Option<Reader>,
    /// Tests that may be missing from the log, and may not have failed.
    pub not_to_fail: Vec<String>,
    /// Why rows of it are not evaluated.
    pub refused: Option<String>,
    /// What is still missing of its tests (SWE-bench Pro's scripts stand beside its rows).
    awaited: Option<pro::Awaited>,
}

/// How the model's patch comes to the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patching {
    /// By SWE-bench's commands, one after the other.
    #[default]
    Ladder,
    /// The same, without the files whose contents are binary.
    WithoutBinaries,
    /// The image's own script applies it: a line of a shell sees whether it can, and puts the patch
    /// there, which it finds as its first argument.
    Handed(String),
}

/// What reads a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Python that defines `parser`, a function of the log.
    Function(String),
    /// A program in Python that takes the files of standard output and error, and one to write to.
    Program(String),
    /// The package `multi_swe_bench`, as it reads logs of this pull request.
    Package {
        /// The repository's owner.
        org: String,
        /// Its name.
        repo: String,
        /// The number of the pull request.
        number: u64,
        /// What the package tells a repository's times apart by.
        interval: String,
        /// The same, by release.
        tag: String,
    },
}

/// What stands between standard output and standard error in the log of a row with [`Reader::Program`].
pub const STANDARD_ERROR: &str = ">>>>> Start Standard Error";

/// The directory of the repository in SWE-bench's images.
pub const TESTBED: &str = "/testbed";

impl Default for Way {
    fn default() -> Self {
        Self {
            dataset: Dataset::SweBench,
            directory: TESTBED.to_owned(),
            enter: None,
            prepare: None,
            patching: Patching::default(),
            reader: None,
            not_to_fail: Vec::new(),
            refused: None,
            awaited: None,
        }
    }
}

impl Way {
    fn of(dataset: Dataset) -> Self {
        Self {
            dataset,
            ..Self::default()
        }
    }
}

/// What a row of another dataset comes to.
pub(super) struct Adapted {
    /// Its fields by SWE-bench's names.
    pub(super) fields: Map<String, Value>,
    /// What is done with it.
    pub(super) way: Way,
    /// How tests are counted.
    pub(super) eval_type: EvalType,
    /// How it is tested, where a table says it.
    pub(super) specs: Option<Specs>,
}

/// What is wrong with a field of a row.
pub(super) type Wrong = (&'static str, FieldProblem);

/// Reads a row of another dataset; `None` for one of SWE-bench's.
pub(super) fn adapt(row: &Map<String, Value>) -> Result<Option<Adapted>, Wrong> {
    let known = FIELDS.iter().find(|(field, _)| row.contains_key(*field));
    match known.map(|(_, dataset)| *dataset) {
        Some(Dataset::Live) => live::adapt(row).map(Some),
        Some(Dataset::Pro) => pro::adapt(row).map(Some),
        Some(Dataset::Multi) => multi::adapt(row).map(Some),
        Some(dataset) => Ok(Some(Adapted {
            fields: row.clone(),
            way: Way {
                refused: Some(format!(
                    "it is a row of {dataset} (field `expected_output_json`), which has a harness of its own"
                )),
                ..Way::of(dataset)
            },
            eval_type: EvalType::default(),
            specs: None,
        })),
        None => Ok(gym::adapt(row)),
    }
}

impl Row {
    /// Whether its tests are run by files that stand beside the dataset, which are not there yet.
    #[must_use]
    pub fn awaits_scripts(&self) -> bool {
        self.way.awaited.is_some()
    }

    /// Takes in the files that run the tests of a row of SWE-bench Pro and read what they write:
    /// `run_script.sh` and `parser.py`.
    pub fn take_scripts(&mut self, script: &str, parser: String) {
        if let Some(awaited) = self.way.awaited.take() {
            self.eval_script = Some(awaited.eval_script(script));
            self.way.reader = Some(Reader::Program(parser));
        }
    }
}

impl Reader {
    /// The parts of a log that go to the reader: standard output with what came with it, and standard
    /// error where it was kept apart. The markers are gone.
    #[must_use]
    pub fn parts<'a>(&self, output: &'a str) -> (&'a str, &'a str) {
        match self {
            Self::Program(_) => output.split_once(STANDARD_ERROR).unwrap_or((output, "")),
            Self::Function(_) | Self::Package { .. } => (output, ""),
        }
    }
}

/// The patch without the files whose contents are binary, as SWE-bench Pro's harness has it.
#[must_use]
pub fn without_binaries(patch: &str) -> String {
    let is_binary = |part: &str| {
        part.lines().any(|line| {
            line == "GIT binary patch"
                || (line.starts_with("Binary files ") && line.ends_with(" differ"))
        })
    };
    let mut parts: Vec<String> = vec![String::new()];
    for line in patch.split_inclusive('\n') {
        if line.starts_with("diff --git ") {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push_str(line);
        }
    }
    parts.retain(|part| !part.trim().is_empty() && !is_binary(part));
    parts.concat()
}

/// A field that is text; empty where it is missing or null.
fn text<'a>(row: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Wrong> {
    match row.get(field) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err((field, FieldProblem::NoText)),
    }
}

/// A field that has to be text.
fn required<'a>(row: &'a Map<String, Value>, field: &'static str) -> Result<&'a str, Wrong> {
    match text(row, field)? {
        "" => Err((field, FieldProblem::Missing)),
        text => Ok(text),
    }
}

/// A list of texts, or one that is written as JSON or as Python has it; `None` where it is missing or
/// null.
fn list(row: &Map<String, Value>, field: &'static str) -> Result<Option<Vec<String>>, Wrong> {
    let wrong = || (field, FieldProblem::NoList);
    match row.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => json_text::parse(text.as_bytes())
            .ok()
            .and_then(|(list, _)| serde_json::from_value(list).ok())
            .or_else(|| python_literal::list(text))
            .map(Some)
            .ok_or_else(wrong),
        Some(list) => serde_json::from_value(list.clone())
            .map(Some)
            .map_err(|_| wrong()),
    }
}

/// A word of a here-document that no line of the text is.
fn delimiter(text: &str) -> String {
    let mut word = "EOF_114329324912".to_owned();
    while text.lines().any(|line| line == word) {
        word.push('_');
    }
    word
}

/// Puts text into a command's standard input, whatever it holds.
fn here(command: &str, text: &str) -> String {
    let end = delimiter(text);
    let line_end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{command} <<'{end}'\n{text}{line_end}{end}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_files_are_left_out_of_a_patch() {
        let text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
        let binary = "diff --git a/y b/y\nindex 1..2\nBinary files a/y and b/y differ\n";
        let full = "diff --git a/z b/z\nGIT binary patch\nliteral 1\nIcmZQ\n";
        assert_eq!(without_binaries(&format!("{binary}{text}{full}")), text);
        assert_eq!(without_binaries(text), text);
    }

    #[test]
    fn a_here_document_ends_at_no_line_of_its_text() {
        let script = here("cat", "a\nEOF_114329324912\nb");
        assert!(script.ends_with("\nb\nEOF_114329324912_\n"), "{script}");
    }
}
