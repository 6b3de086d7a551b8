//! What is done with a row of a dataset that is not SWE-bench's own.

use std::fmt::{self, Write as _};

use super::here::here;
use super::log_parser::markers;

/// What runs an instance's tests, in the folder of its name.
pub const SCRIPT_FILE: &str = "run_script.sh";

/// What reads them, in Python.
pub const PARSER_FILE: &str = "parser.py";

/// The repository's directory in images of SWE-bench Pro.
pub(super) const PRO_DIRECTORY: &str = "/app";

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
    /// Files that its patches cannot bring (`image_assets` of SWE-bench Multimodal).
    pub assets: Vec<Asset>,
    /// What is still missing of its tests (SWE-bench Pro's scripts stand beside its rows).
    pub(super) awaited: Option<Awaited>,
}

/// A file of the tests that is no text, so that their patch does not hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Where it belongs, in the repository.
    pub path: String,
    /// Where it can be had.
    pub url: Option<String>,
}

/// Where such files are while the tests' patch is applied, each called by its number.
pub const ASSETS: &str = "/image_assets";

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
pub(crate) const STANDARD_ERROR: &str = ">>>>> Start Standard Error";

/// The directory of the repository in SWE-bench's images.
pub(crate) const TESTBED: &str = "/testbed";

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
            assets: Vec::new(),
            awaited: None,
        }
    }
}

impl Way {
    /// The same, with files that no patch holds.
    pub(super) fn with(self, assets: Vec<Asset>) -> Self {
        Self { assets, ..self }
    }

    pub(super) fn of(dataset: Dataset) -> Self {
        Self {
            dataset,
            ..Self::default()
        }
    }
}

/// What an evaluation still lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// The command that brings the tests.
    pub(super) before: String,
    /// The tests, as the script takes them.
    pub(super) files: String,
}

impl Awaited {
    /// The script that runs the tests with the dataset's own.
    pub(super) fn eval_script(&self, script: &str) -> String {
        let Self { before, files } = self;
        let files = files.replace('\'', r"'\''");
        let mut whole = format!(
            "#!/bin/bash\ncd {PRO_DIRECTORY}\ngit config --global --add safe.directory '*'\n{before}\nmkdir -p /workspace\n"
        );
        whole.push_str(&here(&format!("cat > /workspace/{SCRIPT_FILE}"), script));
        let _ = writeln!(
            whole,
            "bash /workspace/{SCRIPT_FILE} '{files}' > /workspace/stdout.log 2> /workspace/stderr.log\n\
             echo '{}'\ncat /workspace/stdout.log\necho\necho '{STANDARD_ERROR}'\ncat /workspace/stderr.log\necho\necho '{}'",
            markers::START,
            markers::END
        );
        whole
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
}
