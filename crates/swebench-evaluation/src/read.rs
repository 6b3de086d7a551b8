//! What a run is about: rows and predictions, read from what it starts from.

use super::carrier::Inputs;
use super::evaluate_error::EvaluateError;
use super::observer::Observer;
use super::record::Scope;
use super::request::{Request, SPLIT};
use ohoci_config::Environment;
use ohoci_swebench::predictions::{GOLD, Predictions};
use ohoci_swebench::row::{self, Row};
use ohoci_swebench_inputs::{check_graded, predictions, repairs, rows, take_scripts};

/// What a run is about.
pub(super) struct Read {
    /// The rows, those of earlier parts of it too.
    pub(super) rows: Vec<Row>,
    pub(super) predictions: Predictions,
    pub(super) scope: Scope,
}

impl Read {
    /// Reads the files of a run. `given` is where they are, which is not always where they were asked for.
    pub(super) fn of(
        request: &Request<'_>,
        given: &Inputs,
        environment: &Environment,
        observer: &dyn Observer,
    ) -> Result<Self, EvaluateError> {
        let split = request.split.unwrap_or(SPLIT);
        let mut all = rows(&given.dataset, split, environment)?;
        take_scripts(&mut all, given.scripts.as_deref())?;
        row::select(all.clone(), request.instance_ids)?;
        let scope = |model: &str| {
            let asked = request.instance_ids;
            let scope = Scope::new(asked, request.recorded, given, model);
            let mut rows = all.clone();
            rows.retain(|row| scope.has(&row.instance_id));
            (scope, rows)
        };
        // As upstream does: `gold` is for the instances that are asked for.
        let of = match given.predictions == GOLD {
            true => scope(GOLD).1,
            false => all.clone(),
        };
        let predictions = predictions(&given.predictions, &of)?;
        for warning in repairs(&predictions) {
            observer.warned(&warning);
        }
        predictions
            .check_known(&all)
            .map_err(EvaluateError::Predictions)?;
        for id in predictions.replaced() {
            observer.warned(&format!(
                "{id} is predicted more than once; the last counts"
            ));
        }
        let (scope, rows) = scope(predictions.model().unwrap_or_default());
        for warning in check_graded(&rows)? {
            observer.warned(&warning);
        }
        Ok(Self {
            rows,
            predictions,
            scope,
        })
    }
}
