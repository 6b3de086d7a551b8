//! Scripts of instances whose datasets keep them beside their rows.

use std::path::{Path, PathBuf};

use super::error::InputError;
use super::file::read;
use ohoci_swebench::row::Row;
use ohoci_swebench::way::{PARSER_FILE, SCRIPT_FILE};

/// Gives rows of SWE-bench Pro the scripts that run and read their tests, from a folder that has one of
/// its own for each instance.
///
/// # Errors
/// When a script is not there, or is no text.
pub fn take_scripts(rows: &mut [Row], directory: Option<&Path>) -> Result<(), InputError> {
    let Some(directory) = directory else {
        return Ok(());
    };
    let text = |path: PathBuf| {
        let content = read(&path)?;
        String::from_utf8(content).map_err(|_| {
            InputError::new(format!("cannot use {}", path.display()), "it is not UTF-8")
        })
    };
    for row in rows.iter_mut().filter(|row| row.awaits_scripts()) {
        // The name is one folder's: rows are read so.
        let folder = directory.join(&row.instance_id);
        if folder.is_dir() {
            let script = text(folder.join(SCRIPT_FILE))?;
            row.take_scripts(&script, text(folder.join(PARSER_FILE))?);
        }
    }
    Ok(())
}
