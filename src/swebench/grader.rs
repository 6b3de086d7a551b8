//! The flags that say who grades.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use ohoci_config::Environment;
use ohoci_config::environment::PATH;
use ohoci_swebench_evaluation::grader::Upstream;
use ohoci_swebench_evaluation::{Grader, Readers, Who};

/// Who grades, and with what.
#[derive(Args, Clone, Debug)]
pub(super) struct GraderArguments {
    /// Who grades. Where the package swebench (version 5) disagrees with ohoci, `both` gives no
    /// verdict
    #[arg(long, value_enum, value_name = "WHO", default_value_t)]
    pub(super) grader: GraderChoice,

    /// The Python that finds the package swebench, and that reads logs of datasets which have parsers
    /// in Python
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub(super) python: PathBuf,

    /// SWE-bench Pro's run_scripts, a folder for each instance with its run_script.sh and parser.py
    #[arg(long, value_name = "DIR", alias = "scripts_dir")]
    pub(super) scripts_dir: Option<PathBuf>,
}

/// Who grades.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum GraderChoice {
    /// ohoci.
    #[default]
    Native,
    /// The package swebench.
    Upstream,
    /// Both.
    Both,
}

impl GraderArguments {
    /// Who grades.
    ///
    /// # Errors
    /// When the package is asked for and cannot be used.
    pub(super) fn grader(&self) -> Result<Grader, Failure> {
        let upstream = || {
            Upstream::find(&self.python).map_err(|error| {
                Failure::new("cannot grade with the package swebench", error.to_string()).hinted(
                    "install it with `pip install --no-deps swebench unidiff`, and name its Python with --python",
                )
            })
        };
        let who = match self.grader {
            GraderChoice::Native => Who::Native,
            GraderChoice::Upstream => Who::Upstream(upstream()?),
            GraderChoice::Both => Who::Both(upstream()?),
        };
        let path = Environment::of_process().get(PATH);
        let readers = Readers::new(self.python.clone(), path);
        Ok(Grader { who, readers })
    }
}
