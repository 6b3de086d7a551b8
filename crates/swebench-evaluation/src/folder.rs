//! The folder of one instance in a run, with upstream's files and a record of ohoci's own.

use std::io;
use std::path::PathBuf;

use super::outcome::Outcome;
use ohoci_layout::staged;

/// ohoci's own record, beside upstream's files.
const RECORD: &str = "ohoci.json";

/// Upstream's files.
const REPORT: &str = "report.json";
const TEST_OUTPUT: &str = "test_output.txt";
const RUN_LOG: &str = "run_instance.log";
const PATCH: &str = "patch.diff";
const EVAL_SCRIPT: &str = "eval.sh";

/// The reports of ohoci and of the package, where they disagree.
const DISAGREEING: [&str; 2] = ["report.ohoci.json", "report.swebench.json"];

/// Largest record that is read, in bytes.
const LARGEST_RECORD: u64 = 16 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes it, without what an earlier run left in it.
    pub(super) fn begin(&self) -> io::Result<()> {
        fs_err::create_dir_all(&self.path)?;
        let own = [RECORD, REPORT, TEST_OUTPUT, RUN_LOG, PATCH, EVAL_SCRIPT];
        for name in own.into_iter().chain(DISAGREEING) {
            match fs_err::remove_file(self.path.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn run_log(&self) -> PathBuf {
        self.path.join(RUN_LOG)
    }

    pub(super) fn patch(&self) -> PathBuf {
        self.path.join(PATCH)
    }

    pub(super) fn eval_script(&self) -> PathBuf {
        self.path.join(EVAL_SCRIPT)
    }

    pub(super) fn test_output(&self) -> PathBuf {
        self.path.join(TEST_OUTPUT)
    }

    pub(super) fn write_report(&self, document: &str) -> io::Result<()> {
        staged::replace(&self.path.join(REPORT), document.as_bytes())
    }

    /// Keeps the reports of two graders that disagree; neither is the instance's report.
    pub(super) fn write_disagreement(&self, native: &str, upstream: &str) -> io::Result<()> {
        let [ours, theirs] = DISAGREEING.map(|name| self.path.join(name));
        staged::replace(&ours, native.as_bytes())?;
        staged::replace(&theirs, upstream.as_bytes())
    }

    /// Keeps what became of the instance.
    pub(super) fn write_record(&self, outcome: &Outcome) -> io::Result<()> {
        let text = serde_json::to_string_pretty(outcome)?;
        staged::replace(&self.path.join(RECORD), text.as_bytes())
    }

    /// What an earlier run kept; `None` where there is nothing, or nothing that can be read.
    pub(super) fn record(&self) -> Option<Outcome> {
        use io::Read as _;
        let file = fs_err::File::open(self.path.join(RECORD)).ok()?;
        let mut text = Vec::new();
        file.take(LARGEST_RECORD).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether upstream's files of a graded run are there.
    pub(super) fn is_graded(&self) -> bool {
        self.path.join(REPORT).is_file() && self.test_output().is_file()
    }
}
