//! Which of upstream's parsers reads which log, and what it finds there.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/`. Its registry has twenty names of Python
//! parsers, which are seven functions; the parsers of other languages are not here.

mod django;
pub mod markers;
mod matplotlib;
mod pytest;
mod pytest_options;
mod pytest_v2;
mod seaborn;
pub mod status;
mod sympy;

pub use status::{Status, StatusMap};

/// One of upstream's parsers of Python test logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogParser {
    /// `parse_log_pytest`: lines of pytest's short summary.
    Pytest,
    /// `parse_log_pytest_options`: the same, with paths in parameters cut to their last part.
    PytestOptions,
    /// `parse_log_pytest_v2`: the same, coloured or not, with spaces in names, and the lines of
    /// older versions that end in the status.
    PytestV2,
    /// `parse_log_django`: the lines of Django's own runner.
    Django,
    /// `parse_log_seaborn`: pytest's, short and verbose.
    Seaborn,
    /// `parse_log_sympy`: the lines of SymPy's own runner.
    Sympy,
    /// `parse_log_matplotlib`: pytest's, with the names of mouse buttons as their numbers.
    Matplotlib,
}

/// A line on which upstream's parser stops with an exception, so that it has no verdict either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the test output is only {text:?} and names no test")]
pub struct LogError {
    /// The line, from 1, within the part that was read.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

impl LogParser {
    /// The parser that a row's `log_parser` names; `None` for those of other languages.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "parse_log_pytest"
            | "parse_log_astroid"
            | "parse_log_flask"
            | "parse_log_marshmallow"
            | "parse_log_pvlib"
            | "parse_log_pyvista"
            | "parse_log_sqlfluff"
            | "parse_log_xarray" => Self::Pytest,
            "parse_log_pytest_options"
            | "parse_log_pydicom"
            | "parse_log_requests"
            | "parse_log_pylint" => Self::PytestOptions,
            "parse_log_pytest_v2"
            | "parse_log_astropy"
            | "parse_log_scikit"
            | "parse_log_sphinx" => Self::PytestV2,
            "parse_log_django" => Self::Django,
            "parse_log_seaborn" => Self::Seaborn,
            "parse_log_sympy" => Self::Sympy,
            "parse_log_matplotlib" => Self::Matplotlib,
            _ => return None,
        })
    }

    /// The parser for a repository (`owner/name`), for rows that name none: those before version 5.
    ///
    /// Source: `MAP_REPO_TO_PARSER_PY`.
    #[must_use]
    pub fn of_repository(repository: &str) -> Option<Self> {
        Some(match repository {
            "marshmallow-code/marshmallow"
            | "pallets/flask"
            | "pvlib/pvlib-python"
            | "pydata/xarray"
            | "pylint-dev/astroid"
            | "pytest-dev/pytest"
            | "pyvista/pyvista"
            | "sqlfluff/sqlfluff" => Self::Pytest,
            "psf/requests" | "pydicom/pydicom" | "pylint-dev/pylint" => Self::PytestOptions,
            "astropy/astropy" | "scikit-learn/scikit-learn" | "sphinx-doc/sphinx" => Self::PytestV2,
            "django/django" => Self::Django,
            "mwaskom/seaborn" => Self::Seaborn,
            "sympy/sympy" => Self::Sympy,
            "matplotlib/matplotlib" => Self::Matplotlib,
            _ => return None,
        })
    }

    /// Every test that a log names, with its status; later lines win.
    ///
    /// # Errors
    ///
    /// Only Django's parser has lines it cannot read.
    pub fn parse(self, log: &str) -> Result<StatusMap, LogError> {
        match self {
            Self::Django => django::parse(log),
            Self::Pytest => Ok(pytest::parse(log)),
            Self::PytestOptions => Ok(pytest_options::parse(log)),
            Self::PytestV2 => Ok(pytest_v2::parse(log)),
            Self::Seaborn => Ok(seaborn::parse(log)),
            Self::Sympy => Ok(sympy::parse(log)),
            Self::Matplotlib => Ok(matplotlib::parse(log)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parser_is_found_by_its_name_and_by_its_repository() {
        assert_eq!(
            LogParser::named("parse_log_flask"),
            LogParser::of_repository("pallets/flask")
        );
        assert_eq!(
            LogParser::named("parse_log_sphinx"),
            LogParser::of_repository("sphinx-doc/sphinx")
        );
        assert_eq!(LogParser::named("parse_log_jest"), None);
        assert_eq!(LogParser::of_repository("vuejs/core"), None);
    }
}
