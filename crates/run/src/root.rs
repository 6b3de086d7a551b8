//! The root file system of a run: an image's layers in the store with something to write to over them,
//! or a directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ohoci_compose::compose::{ImageLayer, in_memory};
use ohoci_compose::read::this_machine;
use ohoci_compose::{Observer, Unwatched};
use ohoci_image::Digest;
use ohoci_image::image_config::ImageConfig;
use ohoci_node::{KeptSandbox, LayerStore, SandboxError, Stack, keep};
use ohoci_sandbox::{CopyOnWrite, Process, Root, Workspace};
use ohoci_unpack::find_image;

use super::copy_on_write;
use super::failure::RunFailure;
use super::machine::Machine;
use super::request::RootChoice;

/// A root file system, and what has to last as long as it.
#[derive(Debug)]
pub struct RunRoot {
    /// What its image says of programs.
    pub(super) process: Process,
    /// It as it is, as long as nothing runs in it.
    pub(super) root: Root,
    /// The directories that its image declares as volumes.
    pub(super) volumes: Vec<PathBuf>,
    over: Option<Over>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

/// What a root file system of an image is mounted from.
#[derive(Debug)]
struct Over {
    workspace: Workspace,
    digest: Digest,
    stack: Stack,
    way: CopyOnWrite,
    _kept: Option<KeptSandbox>,
}

impl RunRoot {
    /// It as it is, as long as nothing runs in it.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What it is mounted from, where it is that of an image.
    #[must_use]
    pub fn workspace(&self) -> Option<&Workspace> {
        self.over.as_ref().map(|over| &over.workspace)
    }

    /// Where what is written to it lands.
    #[must_use]
    pub fn written(&self) -> PathBuf {
        match &self.over {
            Some(over) => over.workspace.written(),
            None => self.root.path().to_owned(),
        }
    }

    /// Its image's digest, where it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.over.as_ref().map(|over| &over.digest)
    }

    /// The layers that were not in the store before.
    #[must_use]
    pub fn unpacked(&self) -> &[Digest] {
        self.over.as_ref().map_or(&[], |over| over.stack.unpacked())
    }

    /// What deserves a second look.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What else is to be said.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Goes back to the image: what was written is taken away. Nothing may run in it.
    ///
    /// # Errors
    /// When there is no image, or its files cannot be made.
    pub(super) fn reset(&mut self, scratch: &Path) -> io::Result<()> {
        let over = self.over.as_mut().ok_or(io::ErrorKind::Unsupported)?;
        let workspace = fresh(&over.way, &over.stack, scratch)?;
        self.root = workspace.view()?;
        over.workspace = workspace;
        Ok(())
    }

    /// Looks at it anew, after something has run in it.
    ///
    /// # Errors
    /// When a directory that it is made of is gone.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        if let Some(over) = &self.over {
            self.root = over.workspace.view()?;
        }
        Ok(())
    }
}

/// Brings an image's layers into the store, if there is an image, and puts something over them that can
/// be written: for this run, or under a name that it stays by.
///
/// # Errors
/// When the image cannot be read or unpacked, or its files cannot be made.
pub async fn open_root(
    choice: &RootChoice,
    keep: Option<&str>,
    machine: Machine<'_>,
) -> Result<RunRoot, RunFailure> {
    let image = match choice {
        RootChoice::Directory(path) => {
            return Ok(RunRoot {
                process: Process::default(),
                root: open(path)?,
                volumes: Vec::new(),
                over: None,
                warnings: Vec::new(),
                notes: Vec::new(),
            });
        }
        RootChoice::Image(reference, platform) => {
            let image = find_image(machine.resolver, reference, platform.as_ref()).await?;
            Image {
                digest: image.digest().clone(),
                layers: image.layers()?,
                config: image.config,
                what: format!("cannot run {reference}"),
                warnings: Vec::new(),
            }
        }
        RootChoice::Composed(job) => {
            let observer: Arc<dyn Observer> = Arc::new(Unwatched);
            let image = in_memory(job, machine.resolver, &observer).await?;
            Image {
                what: format!("cannot run {} on {}", image.digest, job.base),
                digest: image.digest,
                layers: image.layers,
                config: image.config,
                warnings: image.warnings,
            }
        }
    };
    image.opened(keep, machine).await
}

/// An image that a root file system is made of.
struct Image {
    config: ImageConfig,
    digest: Digest,
    layers: Vec<ImageLayer>,
    what: String,
    warnings: Vec<String>,
}

impl Image {
    async fn opened(
        mut self,
        kept: Option<&str>,
        machine: Machine<'_>,
    ) -> Result<RunRoot, RunFailure> {
        let what = self.what;
        let process = Process::of(&self.config)
            .map_err(|error| RunFailure::new(what.as_str(), error.to_string()))?;
        let (made_for, here) = (self.config.platform(), this_machine());
        if made_for.architecture != here.architecture {
            let warning = format!("the image is for {made_for}, this machine is {here}");
            self.warnings.push(warning);
        }
        let Some(store) = machine.store else {
            return Err(RunFailure::new(what, "there is no store of layers"));
        };
        // Before anything is downloaded.
        let kept = match kept {
            None => None,
            Some(name) => Some(kept_sandbox(store, name, &self.digest)?),
        };
        let stack = keep(store, self.layers, &what).await?;
        let failed = |error: io::Error| RunFailure::new(what.as_str(), error.to_string());
        let (way, note) = copy_on_write::find(machine, store).map_err(failed)?;
        let workspace = match &kept {
            None => fresh(&way, &stack, machine.scratch).map_err(failed)?,
            Some(kept) => {
                let directories = stack.directories().to_vec();
                let workspace =
                    Workspace::kept(&way, directories, &kept.directory()).map_err(failed)?;
                if kept.is_new() {
                    workspace.set_root_mode(stack.root_mode()).map_err(failed)?;
                }
                workspace
            }
        };
        let root = workspace.view().map_err(|error| {
            RunFailure::new("cannot prepare the root file system", error.to_string())
        })?;
        Ok(RunRoot {
            process,
            root,
            volumes: declared_volumes(&self.config),
            over: Some(Over {
                workspace,
                digest: self.digest,
                stack,
                way,
                _kept: kept,
            }),
            warnings: self.warnings,
            notes: note.into_iter().collect(),
        })
    }
}

/// Something over layers in which nothing was written yet.
fn fresh(way: &CopyOnWrite, stack: &Stack, scratch: &Path) -> io::Result<Workspace> {
    let workspace = Workspace::over(way, stack.directories().to_vec(), scratch)?;
    workspace.set_root_mode(stack.root_mode())?;
    Ok(workspace)
}

fn kept_sandbox(
    store: &LayerStore,
    name: &str,
    digest: &Digest,
) -> Result<KeptSandbox, RunFailure> {
    let sandbox = store.sandbox(name, digest);
    sandbox.map_err(|error| not_kept(name, &error))
}

/// That a sandbox whose writes stay cannot be had, and why.
#[must_use]
pub fn not_kept(name: &str, error: &SandboxError) -> RunFailure {
    let failure = RunFailure::new(format!("cannot use the sandbox {name}"), error.to_string());
    match error {
        SandboxError::Name(_) => RunFailure::mistake(error.to_string()),
        SandboxError::OtherImage(_) => failure.hinted(format!(
            "`ohoci reset {name}` takes away what was written to it, or use another name"
        )),
        SandboxError::NotFound => failure.hinted("`ohoci reset --list` lists those that there are"),
        SandboxError::InUse | SandboxError::Io(_) => failure,
    }
}

/// The directories that an image says are volumes.
fn declared_volumes(config: &ImageConfig) -> Vec<PathBuf> {
    let inner = config.document().object().get("config");
    let volumes = inner.and_then(|inner| inner.get("Volumes")?.as_object());
    let paths = volumes.into_iter().flat_map(|volumes| volumes.keys());
    paths
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .collect()
}

fn open(path: &Path) -> Result<Root, RunFailure> {
    Root::open(path).map_err(|error| {
        RunFailure::new(
            format!("cannot use {} as a root file system", path.display()),
            error.to_string(),
        )
    })
}
