//! What was edited, for reports.

use serde::Serialize;

use ohoci_layer::LayerPath;

/// Edits of one kind in one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edit {
    /// The file, below the prefix.
    #[serde(serialize_with = "as_text")]
    pub path: LayerPath,
    /// What kind of edit.
    pub kind: EditKind,
    /// What was replaced: a path, a variable's name.
    pub what: String,
    /// At how many places in the file.
    pub count: usize,
}

/// The kinds of edits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// The loader that a program names.
    Interpreter,
    /// What the loader, or a static program with a loader in it, looks at.
    Loader,
    /// A compiled-in path.
    CompiledInPath,
    /// A directory in `DT_RPATH` or `DT_RUNPATH`.
    SearchPath,
    /// A script's interpreter.
    Shebang,
    /// Mode bits or capabilities that give rights.
    Privilege,
    /// A file that would lead astray is left out.
    Removed,
}

/// What was found and left as it is, though it leads out of the prefix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Kept {
    /// The file, below the prefix.
    #[serde(serialize_with = "as_text")]
    pub path: LayerPath,
    /// What it needs and why that could not be changed.
    pub what: String,
}

fn as_text<S: serde::Serializer>(path: &LayerPath, serializer: S) -> Result<S::Ok, S::Error> {
    let text = path.to_string();
    serializer.serialize_str(text.strip_prefix('/').unwrap_or(&text))
}
