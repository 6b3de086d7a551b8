//! What is wrong with a field of a row.

use super::names::NameError;

/// What is wrong with a field.
#[derive(Debug, thiserror::Error)]
pub enum FieldProblem {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is no text.
    #[error("has to be a string")]
    NoText,
    /// It is neither a list of names nor one as text.
    #[error("has to be a list of strings, or the JSON of one as a string")]
    NoList,
    /// It has a value that no version knows.
    #[error("is {0:?}; known are `pass_and_fail` and `fail_only`")]
    Unknown(String),
    /// It does not say how a repository is installed.
    #[error("does not say how the repository is installed and tested: {0}")]
    Config(#[source] serde_json::Error),
    /// It is no number.
    #[error("has to be a number")]
    NoNumber,
    /// It does not name tests.
    #[error("has to be an object with the names of tests, or its JSON as a string")]
    NoTests,
    /// It does not say which files belong where.
    #[error(
        "has to be an object of lists with the `path` and the `url` of files in the repository"
    )]
    NoAssets,
    /// It cannot name a file.
    #[error("{0}")]
    Name(#[from] NameError),
}
