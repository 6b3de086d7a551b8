//! The level of an environment's packages of conda.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Builder, Made, key_of};
use crate::conda_install::{Linked, prefix};
use crate::environment;
use crate::error::{BuildError, Level, at};
use crate::interpreter::Interpreter;
use ohoci_conda::record::Located;
use ohoci_deps::conda::error::CondaError;
use ohoci_node::Kind;
use ohoci_sandbox::Network;
use ohoci_swebench::environment::Lock;

impl Builder {
    /// The packages, linked and compiled, on the base.
    pub(super) fn linked(
        &self,
        interpreter: &Interpreter,
        lock: &Lock,
        packages: &[Located],
    ) -> Result<Arc<Made>, BuildError> {
        let level = Level::Environment;
        let key = interpreter
            .key()
            .map_err(at(level, "name conda's packages"))?;
        self.once(&key_of(&["python", &key]), "python", || {
            let name = format!("conda-{}", key.get(..12).unwrap_or(&key));
            let log = self.log("env", &name)?;
            let text = serde_json::to_string_pretty(&lock.linked).unwrap_or_default();
            self.beside(&log, "packages.json", &(text + "\n"))?;
            let failed = |step: &'static str| {
                let log = log.clone();
                move |error: CondaError| {
                    let hint = error.hint();
                    let failed = BuildError::new(level, step, error).logged(&log);
                    match hint {
                        Some(hint) => failed.hinted(hint),
                        None => failed,
                    }
                }
            };
            let source = self.settings.conda.as_ref().ok_or_else(|| {
                BuildError::new(level, "download conda's packages", "there is no channel")
            })?;
            let fetched = Handle::current()
                .block_on(source.fetch(packages))
                .map_err(failed("download conda's packages"))?;
            let unpacked = &self.settings.unpacked;
            let store = unpacked.store()?;
            let packages = source
                .link(&fetched, &prefix(), &store)
                .map_err(failed("link conda's packages"))?;
            unpacked.note_own(Kind::Package, &packages.unpacked);
            let packages = Linked::write(packages, &store)?;
            let below = self.stack(&[])?;
            let (directory, stage) = self.stage_with(packages.root(), below.directories())?;
            let means = self.means(&log, Network::None);
            packages.install(&fetched, &stage, &means)?;
            let tree = environment::python(interpreter, &stage, &means)?;
            Ok((tree, (directory, packages)))
        })
    }
}
