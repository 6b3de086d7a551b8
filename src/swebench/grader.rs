//! The flags that say who grades.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::Failure;
use ohoci_swebench_evaluation::Grader;
use ohoci_swebench_evaluation::grader::Upstream;

/// Who grades, and with what.
#[derive(Args, Clone, Debug)]
pub(super) struct GraderArguments {
    /// Who grades. Where the package swebench (version 5) disagrees with ohoci, `both` gives no
    /// verdict
    #[arg(long, value_enum, value_name = "WHO", default_value_t)]
    pub(super) grader: GraderChoice,

    /// The Python that finds the package swebench
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub(super) python: PathBuf,
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
        Ok(match self.grader {
            GraderChoice::Native => Grader::Native,
            GraderChoice::Upstream => Grader::Upstream(upstream()?),
            GraderChoice::Both => Grader::Both(upstream()?),
        })
    }
}
