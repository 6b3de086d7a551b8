//! The folder of a run: `logs/run_evaluation/RUN_ID/MODEL/INSTANCE/`, laid out as upstream does.

use std::fmt::Display;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde_json::Value;

use ohoci_layout::staged;
use ohoci_swebench::names::{self, NameError};
use ohoci_swebench::predictions::{Prediction, Predictions};
use ohoci_swebench::summary::Evidence;
use ohoci_swebench_images::engine::Shard;

/// The largest file of a run that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// How much of what a lock's holder says of itself is read, in bytes.
const LONGEST_HOLDER: u64 = 300;

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// One instance's folder.
#[derive(Clone, Debug)]
pub(crate) struct InstanceFolder {
    path: PathBuf,
}

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunFolderError {
    /// The name of the run cannot be that of a folder.
    #[error("the run's name {name:?} {why}")]
    RunName {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        why: NameError,
    },
    /// The name of a model cannot be that of a folder.
    #[error("the model's name {name:?} {why}")]
    ModelName {
        /// The name.
        name: String,
        /// What is wrong with it.
        #[source]
        why: NameError,
    },
    /// There is no such run.
    #[error("there is no run {run_id}: {path} is not there", path = .path.display())]
    NoRun {
        /// The run.
        run_id: String,
        /// What would be there.
        path: PathBuf,
    },
    /// Another process works on it.
    #[error("{what} is in use by {by}")]
    Held {
        /// The run, or its shard.
        what: String,
        /// Who uses it, as far as it said so.
        by: String,
    },
    /// A file cannot be read, written or understood.
    #[error("{what}: {why}")]
    File {
        /// What was being done with which file.
        what: String,
        /// Why it failed.
        why: String,
    },
}

impl RunFolderError {
    pub(crate) fn model(name: &str, why: NameError) -> Self {
        Self::ModelName {
            name: name.to_owned(),
            why,
        }
    }

    /// Makes errors of one step with one file, for `map_err`.
    pub(crate) fn at<E: Display>(what: &str, path: &Path) -> impl FnOnce(E) -> Self {
        let what = format!("{what} {}", path.display());
        move |error| Self::File {
            what,
            why: error.to_string(),
        }
    }
}

impl RunFolder {
    /// The folder of a run of this name, whether it is there or not.
    ///
    /// # Errors
    /// When no folder can have this name.
    pub fn of(logs: &Path, run_id: &str) -> Result<Self, RunFolderError> {
        names::check_run_id(run_id).map_err(|why| RunFolderError::RunName {
            name: run_id.to_owned(),
            why,
        })?;
        Ok(Self {
            path: logs.join(run_id),
        })
    }

    /// The run of this name, which has to be there.
    ///
    /// # Errors
    /// When it is not.
    pub fn open(logs: &Path, run_id: &str) -> Result<Self, RunFolderError> {
        let folder = Self::of(logs, run_id)?;
        match folder.path.is_dir() {
            true => Ok(folder),
            false => Err(RunFolderError::NoRun {
                run_id: run_id.to_owned(),
                path: folder.path,
            }),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the run, or a shard of it, for as long as the lock lasts: what two processes do with one
    /// run at once is what neither of them was asked for. Shards share the run with each other. `since`
    /// tells others from when on. A file system that knows no locks has none.
    ///
    /// # Errors
    /// When another process has it, or the folder cannot be written.
    pub fn lock(&self, shard: Option<Shard>, since: &str) -> Result<RunLock, RunFolderError> {
        fs_err::create_dir_all(&self.path).map_err(RunFolderError::at(
            "cannot make the run's folder",
            &self.path,
        ))?;
        let run = self.path.file_name().unwrap_or_default().to_string_lossy();
        let whole = (format!("run {run}"), self.path.join(".lock"));
        let Some(shard) = shard else {
            let lock = locked(whole, FlockOperation::NonBlockingLockExclusive, since)?;
            return Ok(RunLock(vec![lock]));
        };
        let number = format!("{} of {}", shard.index, shard.of);
        let part = (
            format!("shard {number} of run {run}"),
            self.path
                .join(format!(".lock-{}-{}", shard.index, shard.of)),
        );
        Ok(RunLock(vec![
            locked(whole, FlockOperation::NonBlockingLockShared, since)?,
            locked(part, FlockOperation::NonBlockingLockExclusive, since)?,
        ]))
    }

    /// What the run recorded (`run.json`); harnesses before version 5 record nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self) -> Result<Option<Value>, RunFolderError> {
        let path = self.path.join("run.json");
        let Some(document) = read_if_there(&path)? else {
            return Ok(None);
        };
        serde_json::from_slice(&document)
            .map(Some)
            .map_err(|error| format!("it is no JSON: {error}"))
            .map_err(RunFolderError::at("cannot use", &path))
    }

    /// Makes the folder, and records this in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self, record: &Value) -> Result<(), RunFolderError> {
        fs_err::create_dir_all(&self.path).map_err(RunFolderError::at(
            "cannot make the run's folder",
            &self.path,
        ))?;
        let path = self.path.join("run.json");
        let text = serde_json::to_string_pretty(record)
            .map_err(RunFolderError::at("cannot write", &path))?;
        write(&path, &(text + "\n"))
    }

    /// The dataset that the run recorded.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn dataset(&self) -> Result<Option<PathBuf>, RunFolderError> {
        let record = self.record()?;
        let dataset = record.as_ref().and_then(|record| record.get("dataset"));
        Ok(dataset.and_then(Value::as_str).map(PathBuf::from))
    }

    /// What each model's folder tells of its predictions, by the folders' names.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn predictions(&self) -> Result<Vec<Predictions>, RunFolderError> {
        let mut all = Vec::new();
        for model in folders(&self.path)? {
            let mut predictions = Vec::new();
            for instance_id in folders(&self.path.join(&model))? {
                let patch = self.path.join(&model).join(&instance_id).join("patch.diff");
                let patch = match read_if_there(&patch)? {
                    Some(patch) => String::from_utf8_lossy(&patch).into_owned(),
                    // The run has a folder, so there was something to apply.
                    None => "\n".to_owned(),
                };
                predictions.push(Prediction {
                    instance_id,
                    model: model.clone(),
                    patch: Some(patch),
                });
            }
            if let Ok(predictions) = Predictions::new(predictions) {
                all.push(predictions);
            }
        }
        Ok(all)
    }

    /// Where the run of a prediction left its files.
    pub(crate) fn instance(
        &self,
        prediction: &Prediction,
    ) -> Result<InstanceFolder, RunFolderError> {
        let model = names::model_directory(&prediction.model)
            .map_err(|why| RunFolderError::model(&prediction.model, why))?;
        Ok(InstanceFolder {
            path: self.path.join(model).join(&prediction.instance_id),
        })
    }
}

impl InstanceFolder {
    /// The log of the tests.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("test_output.txt")
    }

    /// Writes `report.json`.
    pub(crate) fn write_report(&self, document: &str) -> Result<(), RunFolderError> {
        write(&self.path.join("report.json"), document)
    }

    /// What the summary needs to know.
    pub(crate) fn evidence(&self) -> Result<Evidence, RunFolderError> {
        Ok(Evidence {
            report: read_if_there(&self.path.join("report.json"))?,
            test_output: read_if_there(&self.log())?,
            run_log: read_if_there(&self.path.join("run_instance.log"))?,
        })
    }
}

/// Keeps others from a run, or from a shard of it.
#[derive(Debug)]
pub struct RunLock(#[expect(dead_code, reason = "it holds by being open")] Vec<fs_err::File>);

fn locked(
    (what, path): (String, PathBuf),
    how: FlockOperation,
    since: &str,
) -> Result<fs_err::File, RunFolderError> {
    let at = || RunFolderError::at("cannot lock", &path);
    let mut options = fs_err::OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(at())?;
    match flock(&file, how) {
        Err(Errno::WOULDBLOCK) => {
            let mut by = String::new();
            let _ = file.take(LONGEST_HOLDER).read_to_string(&mut by);
            let by = match by.trim() {
                "" => "another process".to_owned(),
                by => by.to_owned(),
            };
            return Err(RunFolderError::Held { what, by });
        }
        // Not every file system has locks.
        Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK) | Ok(()) => {}
        Err(errno) => return Err(at()(io::Error::from(errno))),
    }
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy().into_owned();
    let holder = format!("process {} on {host}, since {since}\n", std::process::id());
    file.set_len(0)
        .and_then(|()| file.write_all(holder.as_bytes()))
        .map_err(at())?;
    Ok(file)
}

/// Writes a file at once: a reader sees the old content or the new.
pub(crate) fn write(path: &Path, content: &str) -> Result<(), RunFolderError> {
    staged::replace(path, content.as_bytes()).map_err(RunFolderError::at("cannot write", path))
}

/// The content of a file; `None` where there is no such file.
fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, RunFolderError> {
    if !path.is_file() {
        return Ok(None);
    }
    let read = || -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = fs_err::File::open(path)?;
        file.take(LARGEST + 1).read_to_end(&mut content)?;
        match content.len() as u64 > LARGEST {
            true => Err(io::Error::other(format!(
                "it is larger than {LARGEST} bytes"
            ))),
            false => Ok(content),
        }
    };
    read()
        .map(Some)
        .map_err(RunFolderError::at("cannot read", path))
}

/// The names of the folders in a folder, in order.
fn folders(path: &Path) -> Result<Vec<String>, RunFolderError> {
    let mut names = Vec::new();
    let entries = fs_err::read_dir(path).map_err(RunFolderError::at("cannot read", path))?;
    for entry in entries {
        let entry = entry.map_err(RunFolderError::at("cannot read", path))?;
        if let (true, Ok(name)) = (entry.path().is_dir(), entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_one_process_s_and_a_shard_too() {
        let logs = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(logs.path(), "r").unwrap();
        let shard = |index| Some(Shard { index, of: 2 });
        let since = "2026-01-01T00:00:00Z";
        let whole = folder.lock(None, since).unwrap();
        let said = folder.lock(None, since).unwrap_err().to_string();
        let process = format!("process {} on ", std::process::id());
        assert!(said.starts_with("run r is in use by process"), "{said}");
        assert!(said.contains(&process) && said.ends_with(since), "{said}");
        assert!(folder.lock(shard(0), since).is_err());
        drop(whole);
        let shards = [folder.lock(shard(0), since), folder.lock(shard(1), since)];
        assert!(shards.iter().all(Result::is_ok));
        let said = folder.lock(shard(1), since).unwrap_err().to_string();
        assert!(
            said.starts_with("shard 1 of 2 of run r is in use"),
            "{said}"
        );
        assert!(folder.lock(None, since).is_err());
        drop(shards);
        assert!(folder.lock(None, since).is_ok());
    }
}
