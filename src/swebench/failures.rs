//! What the libraries' errors say to a person.

use super::images::failures::failure as images_failure;
use crate::context::unusable_store;
use crate::failure::Failure;
use ohoci_swebench::predictions::PredictionError;
use ohoci_swebench::row::RowError;
use ohoci_swebench_evaluation::EvaluateError;
use ohoci_swebench_evaluation::carrier::CarryError;
use ohoci_swebench_evaluation::regrade::RegradeError;
use ohoci_swebench_evaluation::run_folder::RunFolderError;
use ohoci_swebench_images::base_source::BaseSource;
use ohoci_swebench_inputs::InputError;

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

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let failure = match error.why() {
            Some(why) => Self::new(error.what(), why),
            None => Self::usage(error.what()),
        };
        match error.hint() {
            Some(hint) => failure.hinted(hint),
            None => failure,
        }
    }
}

/// Why a run is not evaluated, whose images are built on this base.
pub(super) fn evaluate(base: Option<&BaseSource>, error: EvaluateError) -> Failure {
    match error {
        EvaluateError::Input(error) => error.into(),
        EvaluateError::Instances(error) => instances(&error),
        EvaluateError::Predictions(error) => predictions(&error),
        EvaluateError::Folder(error) => error.into(),
        EvaluateError::Carry(error) => error.into(),
        EvaluateError::Bubblewrap(error) => {
            let failure = Failure::new("cannot run anything", error.to_string());
            match error.hint() {
                Some(hint) => failure.hinted(hint),
                None => failure,
            }
        }
        EvaluateError::Sandboxes(error) => Failure::new("cannot make sandboxes", error.to_string()),
        EvaluateError::Store(error) => unusable_store(error),
        EvaluateError::Images(error) => images_failure(base, error),
        EvaluateError::Httpbin(error) => Failure::from(error).hinted(
            "`ohoci deps build layers/httpbin.toml -o oci:httpbin:1` makes one for --httpbin oci:httpbin:1",
        ),
        EvaluateError::HandOver { what, why } => Failure::new(what, why.to_string()),
        EvaluateError::Slurm { script, why } => {
            Failure::new(format!("cannot run {} by Slurm", script.display()), why).hinted(
                "its shards' logs are beside it; what they have done is kept: --gather takes it",
            )
        }
    }
}

/// Why a run is not graded anew.
pub(super) fn regrade(run_id: &str, error: RegradeError) -> Failure {
    match error {
        RegradeError::NoDataset(_) => Failure::usage(error.to_string())
            .hinted("name the file that holds its rows with --dataset-name"),
        RegradeError::NoModel => {
            Failure::new(format!("cannot report on run {run_id}"), error.to_string())
        }
        RegradeError::Input(error) => error.into(),
        RegradeError::Instances(error) => instances(&error),
        RegradeError::Predictions(error) => {
            predictions(&error).hinted("name the dataset of the run with --dataset-name")
        }
        RegradeError::Folder(error) => error.into(),
    }
}

fn instances(error: &RowError) -> Failure {
    Failure::usage(error.to_string())
}

fn predictions(error: &PredictionError) -> Failure {
    Failure::new("cannot use the predictions", error.to_string())
}
