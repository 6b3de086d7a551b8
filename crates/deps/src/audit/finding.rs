//! What an audit has to say about a file.

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The layer would not work everywhere, or harm a base: a build stops.
    Error,
    /// Something in it will not work, or is not as one would want it.
    Warning,
    /// Worth knowing.
    Note,
}

/// The promise that a file does not keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Entries stand below the prefix only, and none for the directories above it.
    Location,
    /// Nothing replaces `/bin`, `/lib` and the like where they are symlinks.
    MergedUsr,
    /// The same path is not in two layers.
    DuplicatePath,
    /// The same content is not there twice.
    DuplicateContent,
    /// Nothing is setuid, setgid or has capabilities.
    Privilege,
    /// No devices, no whiteouts, nothing that everyone may write.
    Kind,
    /// Symlinks stay inside the prefix and lead to something.
    Symlink,
    /// Programs name a loader in the prefix.
    Interpreter,
    /// Libraries are found in the prefix.
    Library,
    /// Libraries have the versions that are asked of them.
    Version,
    /// Libraries are not searched outside of the prefix.
    SearchPath,
    /// Stacks are not executable.
    Stack,
    /// ELF files are whole and for the right machine.
    Elf,
    /// Scripts name an interpreter in the prefix.
    Shebang,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The promise that is not kept.
    pub rule: Rule,
    /// The file, from the image's root.
    pub file: String,
    /// The layer it is in.
    pub layer: String,
    /// What is wrong, without the file's name.
    pub what: String,
    /// Why that matters.
    pub why: String,
}
