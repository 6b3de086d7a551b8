//! Files that are read again when they have changed.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct FileError {
    /// What is wrong, with the file.
    why: String,
    hint: Option<String>,
}

impl FileError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: None,
        }
    }

    pub(super) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What may help.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Reads the files, whose paths it knows.
type Read<T> = Box<dyn Fn() -> Result<T, FileError> + Send + Sync>;

/// What files say, and whether they still say it.
pub(super) struct Reloaded<T> {
    paths: Vec<PathBuf>,
    read: Read<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    seen: Vec<Option<Stamp>>,
    content: Arc<T>,
}

/// What differs when a file was written or replaced: device, inode, size, and the times of the last
/// change of its content and of anything.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl<T> Reloaded<T> {
    /// Reads the files for the first time.
    pub(super) fn open(
        paths: Vec<PathBuf>,
        read: impl Fn() -> Result<T, FileError> + Send + Sync + 'static,
    ) -> Result<Self, FileError> {
        // Taken first, so that a change while they are read is not missed.
        let seen = stamps(&paths);
        let content = Arc::new(read()?);
        Ok(Self {
            paths,
            read: Box::new(read),
            state: Mutex::new(State { seen, content }),
        })
    }

    /// What the files said when they could last be read.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&self.lock().content)
    }

    /// Reads files that have changed. When they cannot be used, what they said before stays, and
    /// they are read again when they change again. Whether there is something new.
    pub(super) fn refresh(&self) -> Result<bool, FileError> {
        let seen = stamps(&self.paths);
        if self.lock().seen == seen {
            return Ok(false);
        }
        let content = (self.read)();
        let mut state = self.lock();
        state.seen = seen;
        state.content = Arc::new(content?);
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock()
    }
}

impl<T> fmt::Debug for Reloaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloaded")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}

fn stamps(paths: &[PathBuf]) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = fs_err::metadata(path).ok()?;
        Some((
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
        ))
    };
    paths.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_taken_over_and_a_bad_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        let write = |text: &str| {
            // A new file has another inode, whatever the clock says.
            let beside = directory.path().join(text);
            fs_err::write(&beside, text).unwrap();
            fs_err::rename(beside, &path).unwrap();
        };
        write("1");
        let reloaded = Reloaded::open(vec![path.clone()], {
            let path = path.clone();
            move || {
                let text = fs_err::read_to_string(&path)
                    .map_err(|error| FileError::new(error.to_string()))?;
                text.parse::<u32>()
                    .map_err(|error| FileError::new(error.to_string()))
            }
        })
        .unwrap();
        assert_eq!(reloaded.refresh(), Ok(false));
        write("2");
        assert_eq!(reloaded.refresh(), Ok(true));
        assert_eq!(*reloaded.current(), 2);
        write("x");
        assert!(reloaded.refresh().is_err());
        // Said once, not at every look.
        assert_eq!(reloaded.refresh(), Ok(false));
        assert_eq!(*reloaded.current(), 2);
        fs_err::remove_file(&path).unwrap();
        assert!(reloaded.refresh().is_err());
        write("3");
        assert_eq!(reloaded.refresh(), Ok(true));
        assert_eq!(*reloaded.current(), 3);
    }
}
