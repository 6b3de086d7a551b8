//! What levels are built with: the files of those below, directories, stages and logs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Builder, Made};
use crate::base::check;
use crate::environment::Means;
use crate::error::{BuildError, Level, at};
use crate::stage::Stage;
use crate::unpacked::root_of;
use ohoci_compose::compose::ImageLayer;
use ohoci_layer::limits::Budget;
use ohoci_node::Stack;
use ohoci_sandbox::{Merged, Network, RemovedDirectory, Root};
use ohoci_swebench::names;

impl Builder {
    /// The base's files and those of levels on it, lowest first, one over the other: what the image of
    /// them shows. Layers that are not unpacked yet are unpacked now.
    pub(super) fn stack(&self, levels: &[Arc<Made>]) -> Result<Stack, BuildError> {
        let layers = Handle::current().block_on(self.base.image_layers(&self.resolver));
        let mut layers =
            layers.map_err(|error| BuildError::new(Level::Base, error.what(), error.why()))?;
        layers.extend(levels.iter().filter_map(|made| made.layer.image_layer()));
        let stack = self.unpack(layers)?;
        let mut is_checked = self.is_checked.lock();
        if !*is_checked {
            check(&root_of(&stack).map_err(at(Level::Base, "look for tools"))?)?;
            *is_checked = true;
        }
        Ok(stack)
    }

    /// A level's files without what is below it.
    pub(super) fn alone(&self, made: &Made) -> Result<Stack, BuildError> {
        self.unpack(made.layer.image_layer().into_iter().collect())
    }

    fn unpack(&self, layers: Vec<ImageLayer>) -> Result<Stack, BuildError> {
        let what = format!("cannot build on {}", self.base.reference);
        let stack = self.settings.unpacked.stack(layers, &what);
        Handle::current().block_on(stack)
    }

    /// The base's files, to look for something in them.
    pub(super) fn base_root(&self) -> Result<Root, BuildError> {
        root_of(&self.stack(&[])?).map_err(at(Level::Base, "look into the base"))
    }

    /// Writes the base and levels on it, lowest first, into a directory that is made for them, as a whole
    /// root file system. To be called where blocking is allowed, within a runtime.
    ///
    /// # Errors
    /// When a layer cannot be unpacked, or the directory not written.
    pub(crate) fn write_root(&self, levels: &[Arc<Made>], to: &Path) -> Result<(), BuildError> {
        let stack = self.stack(levels)?;
        let written = fs_err::create_dir_all(to).and_then(|()| {
            let merged = Merged::open(stack.directories().iter().cloned())?;
            merged.copy_into(Path::new("/"), to, &Budget::unlimited())?;
            fs_err::set_permissions(to, std::fs::Permissions::from_mode(stack.root_mode()))
        });
        written.map_err(at(Level::Base, "write the root directory"))
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
        below: &[PathBuf],
    ) -> Result<(RemovedDirectory, Stage), BuildError> {
        let directory = self.directory(level)?;
        let stage = Stage::create(directory.path(), below.to_vec())
            .map_err(at(level, "prepare a sandbox"))?;
        Ok((directory, stage))
    }

    /// The same for an environment, where the directory `linked` is part of the level.
    pub(super) fn stage_with(
        &self,
        linked: &Path,
        below: &[PathBuf],
    ) -> Result<(RemovedDirectory, Stage), BuildError> {
        let level = Level::Environment;
        let directory = self.directory(level)?;
        let stage = Stage::create_with(linked, directory.path(), below)
            .map_err(at(level, "prepare a sandbox"))?;
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
