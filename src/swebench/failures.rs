//! What the libraries' errors say to a person.

use crate::failure::Failure;
use ohoci_swebench_evaluation::carrier::CarryError;
use ohoci_swebench_evaluation::run_folder::RunFolderError;

impl From<RunFolderError> for Failure {
    fn from(error: RunFolderError) -> Self {
        match error {
            RunFolderError::RunName { .. } | RunFolderError::ModelName { .. } => {
                Self::usage(error.to_string())
            }
            RunFolderError::NoRun { run_id, path } => Self::new(
                format!("there is no run {run_id}"),
                format!("{} is no folder", path.display()),
            )
            .hinted("name the folder that holds the folders of runs with --logs"),
            RunFolderError::Held { what, by } => {
                Self::new(format!("{what} is in use"), format!("{by} works on it")).hinted(
                    "wait until it has ended, or give this run a name of its own with --run-id",
                )
            }
            RunFolderError::File { what, why } => Self::new(what, why),
        }
    }
}

impl From<CarryError> for Failure {
    fn from(error: CarryError) -> Self {
        match error {
            CarryError::Store(error) => error.into(),
            CarryError::Folder(error) => error.into(),
            CarryError::Io(error) => Self::new("cannot carry parts of the run", error.to_string()),
        }
    }
}
