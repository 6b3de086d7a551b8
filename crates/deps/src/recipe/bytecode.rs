//! Python modules that are compiled beforehand.

use serde::Deserialize;

/// Modules that are compiled beforehand, as a layer of their own: the `[bytecode]` table.
///
/// This is the one kind of content for which packed programs run, in a sandbox: the interpreter
/// imports the modules, to find out what they import, and compiles that.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bytecode {
    /// The interpreter, below the prefix, such as `poetry/oh/bin/python`.
    pub python: String,
    /// The modules; what they import is compiled with them.
    pub imports: Vec<String>,
}
