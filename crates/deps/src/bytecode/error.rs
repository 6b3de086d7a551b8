//! Why modules cannot be compiled.

use std::io;

use crate::archive::ArchiveError;
use ohoci_layer::path::PathError;
use ohoci_layer::tree::TreeError;
use ohoci_sandbox::{Exceeded, RunError};
use ohoci_unpack::UnpackError;

/// Why modules cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum BytecodeError {
    /// The sandbox, or the interpreter in it, did not start.
    #[error(transparent)]
    Run(#[from] RunError),
    /// There is no interpreter.
    #[error("{python} is in no layer below")]
    Missing {
        /// Where it would be.
        python: String,
    },
    /// The interpreter ended with an error.
    #[error("{python} ended with exit code {code}:\n{said}")]
    Failed {
        /// The interpreter.
        python: String,
        /// Its exit code.
        code: u8,
        /// The end of what it wrote.
        said: String,
    },
    /// It came up against a limit.
    #[error("{python} was stopped: {exceeded}:\n{said}")]
    Limit {
        /// The interpreter.
        python: String,
        /// The limit.
        exceeded: Exceeded,
        /// The end of what it wrote.
        said: String,
    },
    /// What it made is not what was asked for.
    #[error("the compiled modules cannot be used: {0}")]
    Unexpected(String),
    /// What it made is no archive that can be read.
    #[error("the compiled modules cannot be read: {0}")]
    Archive(#[from] ArchiveError),
    /// The layers do not fit together.
    #[error("the layers do not fit together: {0}")]
    Tree(#[from] TreeError),
    /// The layers cannot be unpacked for the interpreter.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// A path in the recipe.
    #[error("{path:?}: {source}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// Something on this machine.
    #[error("cannot {action}: {error}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

impl BytecodeError {
    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Run(error) => error.hint(),
            Self::Limit { exceeded, .. } => Some(exceeded.hint()),
            Self::Failed { .. } => Some(
                "it is shown its environment and its installation, and below the prefix what `shown` \
                 in [bytecode] names besides",
            ),
            _ => None,
        }
    }

    pub(super) fn io(action: &'static str) -> impl Fn(io::Error) -> Self {
        move |error| Self::Io { action, error }
    }
}
