//! What instances share, built without any of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{Builder, BuiltInstance, Made, Order};
use crate::checkout::Checkout;
use crate::error::{BuildError, Level, at};
use crate::sizes::Sized;
use ohoci_swebench::row::Row;

impl Builder {
    /// Builds an instance's environment. To be called where blocking is allowed, within a runtime.
    ///
    /// # Errors
    /// The level that cannot be built, and why.
    pub(crate) fn build_environment(&self, order: &Order) -> Result<BuiltInstance, BuildError> {
        let started = Instant::now();
        let (python, environment) = self.environment_levels(order)?;
        let lock = &order.environment.lock;
        for (sized, made) in [
            (Sized::python(lock), &python),
            (Sized::environment(lock), &environment),
        ] {
            let layer = &made.layer;
            sized.remember(&self.settings.cache, layer.size(), layer.uncompressed);
        }
        Ok(BuiltInstance {
            levels: vec![("python", python), ("environment", environment)],
            seconds: started.elapsed().as_secs_f64(),
            script_seconds: 0.0,
        })
    }

    /// Packs the parts of the history that these instances of one repository have. To be called where
    /// blocking is allowed, within a runtime.
    ///
    /// # Errors
    /// As [`Self::build_environment`].
    pub(crate) fn build_history(&self, rows: &[Row]) -> Result<BuiltInstance, BuildError> {
        let started = Instant::now();
        let mut seen = HashSet::new();
        let mut levels: Vec<(&'static str, Arc<Made>)> = Vec::new();
        let mut failed = None;
        for row in rows {
            match self.history_of(row) {
                Ok(parts) => {
                    let parts = parts.into_iter();
                    let new = parts.filter(|part| seen.insert(part.key.clone()));
                    levels.extend(new.map(|part| ("history", part)));
                }
                // The instance will say it, too; others have their history all the same.
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(BuiltInstance {
            levels,
            seconds: started.elapsed().as_secs_f64(),
            script_seconds: 0.0,
        })
    }

    fn history_of(&self, row: &Row) -> Result<Vec<Arc<Made>>, BuildError> {
        let repository = self.repository(row)?;
        let commit = row.base_commit.as_deref().unwrap_or_default();
        let checkout = Checkout::plan(&repository, commit)
            .map_err(at(Level::Instance, "look at the repository"))?;
        self.history(&repository, &checkout)
    }
}
