//! Files and directories that are copied into a sandbox, and out of it.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use ohoci_layer::Directory;
use ohoci_layer::limits::Budget;
use ohoci_sandbox::root::Found;
use ohoci_sandbox::{Copied, RemovedDirectory, RootError, sparse};
use serde_json::{Map, Value, json};

use super::answer::put_bytes;
use super::message::Content;
use super::sandbox::Sandbox;
use crate::failure::RunFailure;

/// Most bytes of a file that are put into an answer.
const MOST_IN_ANSWER: u64 = 16 << 20;

/// A file's permissions where none are asked for.
const MODE: u32 = 0o644;

impl Sandbox {
    /// Writes a file, or what a directory of this machine has into one. Blocks.
    pub(super) fn copy_in(
        &mut self,
        path: &Path,
        content: Content,
        mode: Option<u32>,
    ) -> Result<Value, RunFailure> {
        self.refresh()?;
        let root = self.root.root();
        let failed =
            |error: RootError| RunFailure::new("cannot write a file inside", error.to_string());
        let mode_or = mode.unwrap_or(MODE);
        let from = match content {
            Content::Bytes(bytes) => {
                let written = root.write(path, &mut &*bytes, mode_or).map_err(failed)?;
                return Ok(json!({"path": written.to_string_lossy()}));
            }
            Content::File(from) => from,
        };
        let cannot_read = |error: io::Error| {
            RunFailure::new(format!("cannot read {}", from.display()), error.to_string())
        };
        let written = match Directory::open(&from) {
            Ok(_) if mode.is_some() => {
                let why = format!("`mode` is for files, and {} is a directory", from.display());
                return Err(RunFailure::mistake(why));
            }
            Ok(directory) => {
                let budget = Budget::new(self.limits);
                let put = root.put_directory(path, &directory, &budget);
                let (real, copied) = put.map_err(|error| {
                    RunFailure::new("cannot write a directory inside", error.to_string())
                })?;
                let mut fields = told(copied);
                fields.insert("path".to_owned(), real.to_string_lossy().into());
                return Ok(Value::Object(fields));
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                return Err(cannot_read(error));
            }
            // What else is wrong with it is found out as that of a file.
            Err(_) => {
                let mut file = ohoci_files::regular::open(&from).map_err(cannot_read)?;
                root.write(path, &mut file, mode_or).map_err(failed)?
            }
        };
        Ok(json!({"path": written.to_string_lossy()}))
    }

    /// Reads a file, or copies a directory to this machine. Blocks.
    pub(super) fn copy_out(&mut self, path: &Path, to: Option<&Path>) -> Result<Value, RunFailure> {
        self.refresh()?;
        let root = self.root.root();
        let what = || format!("cannot read {} inside", path.display());
        if root.find(path) == Some(Found::Directory) {
            let Some(to) = to else {
                return Err(RunFailure::new(what(), "it is a directory")
                    .hinted("`to` names a directory of this machine that is made of it"));
            };
            return self.copy_directory_out(path, to).map(Value::Object);
        }
        let file = root
            .open_file(path)
            .map_err(|error| RunFailure::new(what(), error.to_string()))?
            .ok_or_else(|| RunFailure::new(what(), "there is no such regular file or directory"))?;
        let mut fields = Map::new();
        let size = match to {
            Some(to) => saved(&file, to, &Budget::new(self.limits)).map_err(|error| {
                RunFailure::new(format!("cannot write {}", to.display()), error.to_string())
            })?,
            None => {
                let mut bytes = Vec::new();
                let read = file.take(MOST_IN_ANSWER + 1).read_to_end(&mut bytes);
                let size = read.map_err(|error| RunFailure::new(what(), error.to_string()))?;
                let size = u64::try_from(size).unwrap_or(u64::MAX);
                if size > MOST_IN_ANSWER {
                    let why = format!("it has more than {MOST_IN_ANSWER} bytes");
                    return Err(RunFailure::new(what(), why)
                        .hinted("`to` names a file of this machine that it is written to"));
                }
                put_bytes(&mut fields, "content", bytes);
                size
            }
        };
        fields.insert("size".to_owned(), size.into());
        Ok(Value::Object(fields))
    }

    /// The directory is there whole or not at all.
    fn copy_directory_out(&self, path: &Path, to: &Path) -> Result<Map<String, Value>, RunFailure> {
        let what = || format!("cannot copy {} to {}", path.display(), to.display());
        let failed = |error: io::Error| RunFailure::new(what(), error.to_string());
        let above = match to.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        // Beside it, so that it can be renamed.
        let made = RemovedDirectory::create_in(above).map_err(failed)?;
        let budget = Budget::new(self.limits);
        let copied = self.root.root().copy_directory(path, made.path(), &budget);
        let copied = copied
            .map_err(|error| RunFailure::new(what(), error.to_string()))?
            .ok_or_else(|| RunFailure::new(what(), "there is no such directory"))?;
        made.keep_as(to).map_err(|error| {
            let failure = failed(error);
            failure.hinted("`to` names a directory that is not there yet, or is empty")
        })?;
        Ok(told(copied))
    }
}

/// What is said of a directory that was copied.
fn told(copied: Copied) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("entries".to_owned(), copied.entries.into());
    fields.insert("size".to_owned(), copied.bytes.into());
    if copied.left_out > 0 {
        fields.insert("left_out".to_owned(), copied.left_out.into());
    }
    fields
}

/// Writes a file under another name first, which then takes its place. Gives its size in bytes.
fn saved(file: &std::fs::File, to: &Path, budget: &Budget) -> io::Result<u64> {
    let size = file.metadata()?.len();
    budget.take_bytes(size)?;
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let output = fs_err::File::create(&part)?;
    let written = sparse::copy(file, output.file(), size).and_then(|()| fs_err::rename(&part, to));
    if written.is_err() {
        let _ = fs_err::remove_file(&part);
    }
    written.map(|()| size)
}
