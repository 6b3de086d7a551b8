//! The journal: one record per line, appended as images end. A run that was killed at any moment
//! goes on from it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::record::Record;
use ohoci_files::regular;
use ohoci_store::{Error, ErrorKind};

/// The longest line that is read, in bytes.
pub(crate) const MAX_LINE: u64 = 4 << 20;

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<fs_err::File>,
}

impl Journal {
    /// Begins a journal. One that is there is kept beside it with `.old` behind its name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(path: &Path) -> Result<Self, Error> {
        let fail = |error| {
            Error::io(
                format!("cannot begin the journal {}", path.display()),
                error,
            )
        };
        if path.exists() {
            let mut old = path.as_os_str().to_owned();
            old.push(".old");
            fs_err::rename(path, old).map_err(fail)?;
        }
        Self::open(path)
    }

    /// Goes on with a journal, or begins it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fail = |error| {
            Error::io(
                format!("cannot write the journal {}", path.display()),
                error,
            )
        };
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(fail)?;
        // Whoever was killed may have left half a line; the next record must not stick to it.
        if !ends_with_line_end(path).map_err(fail)? {
            file.write_all(b"\n").map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        })
    }

    /// Appends a record, in one write.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&self, record: &Record) -> Result<(), Error> {
        let what = || format!("cannot write the journal {}", self.path.display());
        let mut line = serde_json::to_string(record)
            .map_err(|error| Error::new(ErrorKind::Io, what(), error.to_string()))?;
        line.push('\n');
        let mut file = self.file.lock();
        file.write_all(line.as_bytes())
            .map_err(|error| Error::io(what(), error))
    }
}

fn ends_with_line_end(path: &Path) -> std::io::Result<bool> {
    use std::io::{Seek as _, SeekFrom};
    let mut file = regular::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The last record of each key. Lines that are torn or of another kind are passed over.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn read(path: &Path) -> Result<HashMap<String, Record>, Error> {
    let fail = |error| Error::io(format!("cannot read the journal {}", path.display()), error);
    let file = match regular::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(fail(error)),
    };
    records(BufReader::new(file)).map_err(fail)
}

/// The same of a journal's lines. Those that are longer than a line may be are passed over, too.
///
/// # Errors
/// When they cannot be read.
pub fn records(mut lines: impl BufRead) -> std::io::Result<HashMap<String, Record>> {
    let mut records = HashMap::new();
    let mut line = Vec::new();
    let mut is_rest = false;
    loop {
        line.clear();
        if lines.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(records);
        }
        let is_whole = line.ends_with(b"\n") || (line.len() as u64) < MAX_LINE;
        if is_whole
            && !is_rest
            && let Ok(record) = serde_json::from_slice::<Record>(&line)
        {
            records.insert(record.key.clone(), record);
        }
        is_rest = !is_whole;
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::RecordStatus;
    use super::*;

    fn record(key: &str, status: RecordStatus) -> Record {
        Record {
            time: String::new(),
            base_image: key.to_owned(),
            tags: Vec::new(),
            error: None,
            log_path: None,
            status,
            skip_reason: None,
            attempt_count: 1,
            started_at: String::new(),
            finished_at: String::new(),
            duration_seconds: 0.5,
            remote_check_seconds: 0.0,
            build_seconds: 0.5,
            post_build_seconds: 0.0,
            key: key.to_owned(),
            digest: None,
            hint: None,
            warning: None,
            layers: Vec::new(),
        }
    }

    #[test]
    fn the_last_word_on_an_image_counts_and_half_a_line_does_no_harm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let journal = Journal::begin(&path).unwrap();
        journal.append(&record("a", RecordStatus::Failed)).unwrap();
        journal.append(&record("b", RecordStatus::Built)).unwrap();
        drop(journal);
        fs_err::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"time\":\"cut o")
            .unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.append(&record("a", RecordStatus::Built)).unwrap();
        let read = read(&path).unwrap();
        assert_eq!(read.len(), 2);
        assert!(read["a"].is_done() && read["b"].is_done());
        assert!(fs_err::metadata(directory.path().join("journal.old")).is_err());
        Journal::begin(&path).unwrap();
        assert!(super::read(&path).unwrap().is_empty());
        assert!(directory.path().join("journal.old").exists());
    }

    #[test]
    fn no_journal_is_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(&directory.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn a_line_without_an_end_costs_no_memory_and_hides_no_other() {
        let good = serde_json::to_string(&record("a", RecordStatus::Built)).unwrap();
        let long = "x".repeat(usize::try_from(MAX_LINE).unwrap() + 7);
        let text = format!("{long}{good}\n{good}\n{long}");
        let found = records(text.as_bytes()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a"]);
    }
}
