//! Which of upstream's parsers reads which log, and what it finds there.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/`. Where upstream's parser stops with an
//! exception, these return an error: there is no verdict either way.

mod c;
mod django;
mod go;
mod java;
mod javascript;
mod lines;
pub mod markers;
mod matplotlib;
mod php;
mod pytest;
mod pytest_options;
mod pytest_v2;
mod registry;
mod ruby;
mod rust;
mod seaborn;
pub mod status;
mod sympy;

use registry::Format;
pub use registry::names;
pub use status::{Status, StatusMap};

/// One of upstream's parsers of test logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogParser {
    name: &'static str,
    format: Format,
}

/// What a parser has to know of an instance: some projects changed their test runners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instance<'a> {
    /// Its `instance_id`.
    pub id: &'a str,
    /// Its `version`.
    pub version: &'a str,
}

/// Why there is no parser for a row's logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoParser {
    /// Upstream's registry has none of this name.
    #[error("{0}, which ohoci does not have")]
    Unknown(String),
    /// The row names none, and neither is one known for its repository.
    #[error("a parser that the row does not name")]
    Unnamed,
    /// The parser knows its project's test runners by instance or version, and not this one's.
    #[error("{name}, which knows no format for {what}")]
    NoFormat {
        /// The parser.
        name: &'static str,
        /// The instance or the version.
        what: String,
    },
}

/// What upstream's parser stops at with an exception, so that it has no verdict either.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A line that should name a test.
    #[error("line {line} of the test output is only {text:?} and names no test")]
    NoTest {
        /// The line, from 1, within the part that was read.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A line that its parser recognises and cannot take apart.
    #[error("the line {text:?} of the test output is not in its parser's form")]
    Line {
        /// What stands there.
        text: String,
    },
    /// The results are no JSON, or not in the form that the parser reads.
    #[error("the JSON document in the test output cannot be read: {why}")]
    Json {
        /// What is wrong with it.
        why: String,
    },
    /// The results are no XML.
    #[error("the XML document in the test output cannot be read: {why}")]
    Xml {
        /// What is wrong with it.
        why: String,
    },
    /// A log made to keep its reader busy. Upstream would read it, given time.
    #[error("the test output holds more elements within elements than can be read")]
    Elements,
    /// A log made to fill its reader's memory. Upstream would read it, given memory.
    #[error("the names of the tests in the output are longer than 256 MiB together")]
    Names,
}

impl LogParser {
    /// The parser of a name, for an instance.
    ///
    /// # Errors
    /// When upstream has none of this name, or that one knows no format for the instance.
    pub fn named(name: &str, instance: Instance<'_>) -> Result<Self, NoParser> {
        let (name, choice) =
            registry::find(name).ok_or_else(|| NoParser::Unknown(name.to_owned()))?;
        let format = choice
            .format(instance)
            .map_err(|what| NoParser::NoFormat { name, what })?;
        Ok(Self { name, format })
    }

    /// The parser for a repository (`owner/name`), for rows that name none: those before version 5.
    ///
    /// # Errors
    /// When none is known, or it knows no format for the instance.
    ///
    /// Source: the maps `MAP_REPO_TO_PARSER_…` of each language.
    pub(crate) fn of_repository(
        repository: &str,
        instance: Instance<'_>,
    ) -> Result<Self, NoParser> {
        let name = registry::of_repository(repository).ok_or(NoParser::Unnamed)?;
        Self::named(name, instance)
    }

    /// Its name in upstream's registry.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Every test that a log names, with its status; later lines win.
    ///
    /// # Errors
    ///
    /// Where upstream's parser stops with an exception, and for logs that are made to be endless.
    pub fn parse(self, log: &str) -> Result<StatusMap, LogError> {
        (self.format.read)(log)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What a parser finds in a log of an instance.
    pub(crate) fn read_of(name: &str, id: &str, version: &str, log: &str) -> Vec<(String, String)> {
        let instance = Instance { id, version };
        let found = LogParser::named(name, instance)
            .unwrap()
            .parse(log)
            .unwrap();
        let entries = found.iter();
        entries
            .map(|(test, status)| pairs((test, status.word())))
            .collect()
    }

    pub(crate) fn read(name: &str, log: &str) -> Vec<(String, String)> {
        read_of(name, "a__b-1", "1.0", log)
    }

    pub(crate) fn pairs((test, status): (&str, &str)) -> (String, String) {
        (test.to_owned(), status.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: Instance<'static> = Instance {
        id: "a__b-1",
        version: "1.0",
    };

    #[test]
    fn a_parser_is_found_by_its_name_and_by_its_repository() {
        for (name, repository) in [
            ("parse_log_pytest_v2", "sphinx-doc/sphinx"),
            ("parse_log_vitest", "vuejs/core"),
            ("parse_log_maven", "google/gson"),
            ("parse_plotly_js", "plotly/plotly.js"),
        ] {
            let found = LogParser::of_repository(repository, ANY).unwrap();
            assert_eq!(found.name(), name);
            assert_eq!(LogParser::named(name, ANY).unwrap(), found);
        }
        let error = LogParser::named("parse_log_make", ANY).unwrap_err();
        assert_eq!(error, NoParser::Unknown("parse_log_make".to_owned()));
        let error = LogParser::of_repository("a/b", ANY).unwrap_err();
        assert_eq!(error, NoParser::Unnamed);
    }

    #[test]
    fn a_project_that_changed_its_runner_has_a_format_for_each_instance() {
        for (name, id, version, known) in [
            ("parse_log_jekyll", "jekyll__jekyll-8047", "", true),
            ("parse_log_jekyll", "jekyll__jekyll-1", "", false),
            ("parse_log_jekyll", "jekyll", "", false),
            (
                "parse_log_immutable_js",
                "immutable-js__immutable-js-2005",
                "",
                true,
            ),
            (
                "parse_log_immutable_js",
                "immutable-js__immutable-js-7",
                "",
                false,
            ),
            ("parse_log_lighthouse", "a__b-1", "3.0", true),
            ("parse_log_lighthouse", "a__b-1", "new", false),
            ("parse_log_next", "a__b-1", "new", true),
        ] {
            let found = LogParser::named(name, Instance { id, version });
            assert_eq!(found.is_ok(), known, "{name} {id} {version}");
        }
    }

    #[test]
    fn every_name_of_upstreams_registry_is_known() {
        assert_eq!(names().count(), 57);
    }
}
