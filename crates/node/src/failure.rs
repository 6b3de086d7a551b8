//! What can go wrong on the way from layers to a stack.

use std::io;

use ohoci_layer::ChangesError;
use ohoci_store::{Error, ErrorKind};

use super::write::WriteError;

/// Why a layer could not be unpacked, or a stack not be made.
#[derive(Debug)]
pub(crate) enum Failure {
    Layer(ChangesError),
    Write(WriteError),
    Io(io::Error),
    Unfit(String),
}

impl Failure {
    pub(crate) fn into_error(self, what: &str) -> Error {
        match self {
            Self::Layer(ChangesError::Keep { path, error }) => {
                let message = format!("cannot write {path}: {error}");
                Error::io(what, io::Error::new(error.kind(), message))
            }
            Self::Layer(error) => Error::new(ErrorKind::Unsupported, what, error.to_string()),
            Self::Write(error) => Error::io(what, io::Error::new(error.kind(), error.to_string())),
            Self::Io(error) => Error::io(what, error),
            Self::Unfit(why) => Error::new(ErrorKind::Unsupported, what, why),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
