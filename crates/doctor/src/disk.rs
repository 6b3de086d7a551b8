//! What ohoci keeps on this machine, and how large it is.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Finding, Machine, State};
use ohoci_report::size::bytes;

const AREA: &str = "disk";

pub(super) fn examine(machine: &Machine<'_>) -> Vec<Finding> {
    vec![cache(machine), store(machine)]
}

fn cache(machine: &Machine<'_>) -> Finding {
    let Some(directory) = machine.cache_dir else {
        let what = "there is none: every run begins with nothing";
        return Finding::new(AREA, "cache", State::Known, what);
    };
    let name = directory.display();
    if !directory.exists() {
        let what = format!("{name}, which is not there yet");
        return Finding::new(AREA, "cache", State::Known, what);
    }
    // The store of unpacked layers may be in it, and is told by itself.
    match room(directory, machine.store.path()) {
        Ok(size) => Finding::new(
            AREA,
            "cache",
            State::Fine,
            format!("{name}: {}", bytes(size)),
        ),
        Err(error) => Finding::new(AREA, "cache", State::Lacking, format!("{name}: {error}"))
            .mended_by("--cache-dir, or OHOCI_CACHE_DIR, names another directory"),
    }
}

fn store(machine: &Machine<'_>) -> Finding {
    let name = machine.store.path().display();
    match machine.store.usage() {
        Ok(usage) => {
            let limit = match machine.store.most_bytes() {
                Some(most) => format!("at most {}", bytes(most)),
                None => "no limit".to_owned(),
            };
            let what = format!(
                "{name}: {} layers, {}, {limit}",
                usage.layers,
                bytes(usage.bytes)
            );
            Finding::new(AREA, "unpacked layers", State::Fine, what)
        }
        Err(error) => Finding::new(
            AREA,
            "unpacked layers",
            State::Lacking,
            format!("{name}: {error}"),
        ),
    }
}

/// What the files below a directory take on the disk, in bytes, without one of the directories. Links are
/// not followed.
fn room(directory: &Path, without: &Path) -> io::Result<u64> {
    let mut size: u64 = 0;
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs_err::read_dir(&directory)? {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Another process may have removed it by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            if metadata.is_dir() {
                if entry.path() != without {
                    waiting.push(entry.path());
                }
            } else {
                size = size.saturating_add(metadata.blocks().saturating_mul(512));
            }
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_counts_files_and_leaves_one_directory_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["a", "store"] {
            fs_err::create_dir(path(name)).unwrap();
            fs_err::write(path(name).join("file"), vec![1; 8192]).unwrap();
        }
        std::os::unix::fs::symlink("/", path("link")).unwrap();
        let all = room(directory.path(), Path::new("/nowhere")).unwrap();
        let some = room(directory.path(), &path("store")).unwrap();
        assert!(some >= 8192 && all >= some + 8192, "{all} {some}");
    }
}
