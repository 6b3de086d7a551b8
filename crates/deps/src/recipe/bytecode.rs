//! Python modules that are compiled beforehand.

use serde::Deserialize;

use super::pattern::Pattern;

/// Modules that are compiled beforehand, as a layer of their own: the `[bytecode]` table.
///
/// This is the one kind of content for which packed programs run, in a sandbox: the interpreter
/// imports the modules, to find out what they import, and compiles that. It is shown its environment and
/// its own installation, which are the directories above the `bin` of `python` and of the program that this
/// leads to, with the libraries and whatever else these name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bytecode {
    /// The interpreter, below the prefix, such as `poetry/oh/bin/python`.
    pub python: String,
    /// The modules; what they import is compiled with them.
    pub imports: Vec<String>,
    /// What the interpreter is shown besides, below the prefix.
    #[serde(default)]
    pub shown: Vec<Pattern>,
}
