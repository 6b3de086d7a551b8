//! What levels are built with: the files of those below, directories, stages and logs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Builder, Made};
use crate::base::keep;
use crate::environment::Means;
use crate::error::{BuildError, Level, at};
use crate::stage::Stage;
use ohoci_sandbox::{Network, RemovedDirectory};
use ohoci_swebench::names;

impl Builder {
    /// A level's files, unpacked from its layer where they are not there any more.
    pub(super) fn files(&self, made: &Made) -> Result<PathBuf, BuildError> {
        let mut files = made.files.lock();
        if let Some((_, place)) = &*files {
            return Ok(place.clone());
        }
        let (level, step) = (Level::Environment, "unpack a level");
        let kept = self.settings.unpacked.as_ref();
        let kept = kept.map(|kept| kept.join(made.layer.layer.diff_id.hex()));
        if let Some(place) = kept.as_ref().filter(|place| place.is_dir()) {
            *files = Some((None, place.clone()));
            return Ok(place.clone());
        }
        let directory = match &self.settings.unpacked {
            None => self.directory(level)?,
            Some(kept) => fs_err::create_dir_all(kept)
                .and_then(|()| RemovedDirectory::create_in(kept))
                .map_err(at(level, step))?,
        };
        made.layer
            .unpack(
                directory.path(),
                (&self.settings.work_dir, self.resolver.limits),
            )
            .map_err(at(level, step))?;
        let found = match kept {
            None => {
                let place = directory.path().to_owned();
                (Some(Arc::new(directory)), place)
            }
            Some(place) => {
                keep(directory, &place).map_err(at(level, step))?;
                (None, place)
            }
        };
        let place = found.1.clone();
        *files = Some(found);
        Ok(place)
    }

    pub(super) fn base_files(&self) -> Result<PathBuf, BuildError> {
        let settings = &self.settings;
        Handle::current().block_on(self.base.files(
            &self.resolver,
            &settings.work_dir,
            settings.unpacked.as_deref(),
        ))
    }

    pub(super) fn directory(&self, level: Level) -> Result<RemovedDirectory, BuildError> {
        RemovedDirectory::create_in(&self.settings.work_dir).map_err(|error| {
            BuildError::new(level, "make a temporary directory", error)
                .hinted("set TMPDIR to a directory on a disk that has room")
        })
    }

    pub(super) fn stage(
        &self,
        level: Level,
        below: Vec<PathBuf>,
    ) -> Result<(RemovedDirectory, Stage), BuildError> {
        let directory = self.directory(level)?;
        let stage =
            Stage::create(directory.path(), below).map_err(at(level, "prepare a sandbox"))?;
        Ok((directory, stage))
    }

    pub(super) fn means<'a>(&'a self, log: &'a Path, network: Network) -> Means<'a> {
        if let Some(wheels) = &self.wheels {
            // Where it cannot be made, what needs it says so.
            let _ = fs_err::create_dir_all(wheels);
        }
        Means {
            tools: &self.settings.tools,
            pip: &self.pip,
            network,
            base_path: &self.base_path,
            log,
        }
    }

    /// A new log of an image's build, in upstream's place.
    pub(super) fn log(&self, level: &str, image: &str) -> Result<PathBuf, BuildError> {
        let directory = self
            .settings
            .logs
            .join(level)
            .join(names::log_directory(image));
        let log = directory.join("build_image.log");
        fs_err::create_dir_all(&directory)
            .and_then(|()| fs_err::write(&log, ""))
            .map_err(at(Level::Base, "write logs"))?;
        Ok(log)
    }

    pub(super) fn beside(&self, log: &Path, name: &str, text: &str) -> Result<(), BuildError> {
        fs_err::write(log.with_file_name(name), text).map_err(at(Level::Base, "write logs"))
    }
}
