//! Where an environment's Python comes from: the directory that the user named, the base itself, uv.

use serde_json::{Value, json};

use super::Builder;
use crate::base_python::BasePython;
use crate::error::{BuildError, Level};
use crate::interpreter::Interpreter;
use crate::python::PythonPrefix;
use ohoci_swebench::specs::Specs;

/// What the cache calls what is known of a base's Pythons.
const FACT: &str = "swebench-base-python-1";

impl Builder {
    /// The Python of a version, from the first place that has it.
    pub(super) fn interpreter(
        &self,
        version: &str,
        specs: &Specs,
    ) -> Result<Interpreter, BuildError> {
        let settings = &self.settings;
        let mut lacks = Vec::new();
        if let Some(directory) = &settings.python_dir {
            match PythonPrefix::find(directory, version) {
                Some(prefix) => return Ok(Interpreter::Prefix(prefix)),
                None => lacks.push(format!("{} has no Python {version}", directory.display())),
            }
        } else {
            lacks.push("there is no --python-dir".to_owned());
        }
        if needs_prefix(specs) {
            lacks.push("tox, which runs the tests, loses sight of the base's Python".to_owned());
        } else {
            match self.python_of_base(version)? {
                Ok(python) => return Ok(Interpreter::OfBase(python)),
                Err(why) => lacks.push(why),
            }
        }
        if let Some(prefix) = PythonPrefix::of_uv(settings.path.as_deref(), version) {
            return Ok(Interpreter::Prefix(prefix));
        }
        lacks.push(format!("uv has no Python {version}"));
        Err(
            BuildError::new(Level::Environment, "find Python", lacks.join("; ")).hinted(
                "--python-dir DIR, a folder with one prefix per version, such as uv's or pyenv's",
            ),
        )
    }

    /// The base's own. That is remembered: a base need not be unpacked where all levels are there.
    fn python_of_base(&self, version: &str) -> Result<Result<BasePython, String>, BuildError> {
        let cache = &self.settings.cache;
        let key = format!("{} {version}", self.base.digest);
        if let Some(known) = cache.fact(FACT, &key) {
            let text = |name: &str| known.get(name).and_then(Value::as_str);
            match (text("home"), text("lacks")) {
                (Some(home), _) => return Ok(Ok(BasePython::new(home, version))),
                (None, Some(why)) => return Ok(Err(why.to_owned())),
                (None, None) => {}
            }
        }
        let found = BasePython::find(&self.base_root()?, version);
        let fact = match &found {
            Ok(python) => json!({"home": python.home()}),
            Err(why) => json!({"lacks": why}),
        };
        cache.remember_fact(FACT, &key, &fact);
        Ok(found)
    }
}

/// Whether the tests run in tox with the environment's Python, which it links to: a link to a virtual
/// environment's Python is no longer in that environment.
fn needs_prefix(specs: &Specs) -> bool {
    specs.test_cmd.contains("--current-env")
}
