//! The root file systems of images, from layers that are unpacked once, for all runs that need them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::image::{Candidate, ImageNames, NamesError};
use ohoci_compose::resolver::Resolver;
use ohoci_node::{Addition, Kind, LayerStore, Stack, keep};
use ohoci_sandbox::merged::Node;
use ohoci_sandbox::{CopyOnWrite, Merged, Process, RemovedDirectory, Root, User, Workspace};
use ohoci_store::ErrorKind;
use ohoci_swebench::row::Row;
use ohoci_swebench::way::{ASSETS, Way};
use ohoci_unpack::{FoundImage, find_image};

/// Where upstream puts the patch.
pub(super) const PATCH_FILE: &str = "/tmp/patch.diff";

/// Where upstream puts the script that runs the tests.
pub(super) const EVAL_FILE: &str = "/eval.sh";

/// What runs the script, and limits itself.
pub(super) const SHELL: &str = "/bin/bash";

/// The files by which programs find hosts.
const HOSTS: &str = "/etc/hosts";
const RESOLV: &str = "/etc/resolv.conf";

/// What becomes of an image's unpacked layers when nothing needs them any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// They stay for later runs.
    Keep,
    /// They are removed, but for those that were there before.
    RemoveOwn,
    /// They are removed.
    Remove,
}

/// Unpacked images.
#[derive(Debug)]
pub struct Roots {
    resolver: Arc<Resolver>,
    store: LayerStore,
    scratch: PathBuf,
    afterwards: Afterwards,
    known: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug, Default)]
struct Entry {
    root: Arc<OnceCell<Arc<ImageRoot>>>,
    /// How many are still going to need it.
    users: usize,
}

/// An image whose files are on this machine.
#[derive(Debug)]
pub struct ImageRoot {
    /// What it was found as.
    pub name: String,
    /// The digest of its manifest; a directory has none.
    pub digest: Option<String>,
    /// The directories that its files are in, topmost first. Nothing may change them.
    lower: Vec<PathBuf>,
    /// What it says of programs.
    pub process: Process,
    /// Its root user.
    pub user: User,
    pub(super) patch_file: PathBuf,
    pub(super) eval_file: PathBuf,
    pub(super) hosts: Option<PathBuf>,
    pub(super) resolv: Option<PathBuf>,
    pub(super) stack: Option<Stack>,
    /// What was made from its files and stands over the layers.
    pub(super) addition: OnceCell<Option<Addition>>,
    /// What is over the layers: what other files are put over.
    _prepared: Option<RemovedDirectory>,
}

/// Why an instance has no root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// No place can be named.
    #[error(transparent)]
    Names(#[from] NamesError),
    /// No source has it.
    #[error("there is no image {first}{}", if *.others > 0 { format!(", nor under {others} other names") } else { String::new() })]
    NotFound {
        /// The most likely name.
        first: String,
        /// How many others were tried.
        others: usize,
    },
    /// It cannot be read or unpacked.
    #[error("{what}: {why}")]
    Failed {
        /// What was being done.
        what: String,
        /// Why it failed.
        why: String,
    },
    /// It is not what evaluations run in.
    #[error("{name} is no image of an instance: {why}")]
    Unfit {
        /// The image.
        name: String,
        /// What it lacks.
        why: String,
    },
}

/// What was found under a name.
enum Located {
    Image(Box<FoundImage>),
    Directory(PathBuf),
}

impl RootsError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Failed {
            what: what.into(),
            why: error.to_string(),
        }
    }

    /// Whether trying once more may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

impl Roots {
    /// None is unpacked yet. Layers are in `store`, and what is made on the way goes into `scratch`.
    #[must_use]
    pub fn new(
        resolver: Arc<Resolver>,
        store: LayerStore,
        scratch: PathBuf,
        afterwards: Afterwards,
    ) -> Self {
        Self {
            resolver,
            store,
            scratch,
            afterwards,
            known: Mutex::default(),
        }
    }

    /// The places that images are read from.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Where layers are unpacked.
    pub(super) fn store(&self) -> &LayerStore {
        &self.store
    }

    /// Says that an instance is going to need its image.
    pub fn expect(&self, instance_id: &str) {
        let mut known = self.known.lock();
        known.entry(instance_id.to_owned()).or_default().users += 1;
    }

    /// The image of an instance, unpacked now if it is not yet.
    ///
    /// # Errors
    /// When it cannot be found, read or unpacked, or nothing can be evaluated in it.
    pub async fn open(&self, names: &ImageNames, row: &Row) -> Result<Arc<ImageRoot>, RootsError> {
        let cell = {
            let mut known = self.known.lock();
            Arc::clone(&known.entry(row.instance_id.clone()).or_default().root)
        };
        let root = cell
            .get_or_try_init(|| async { self.find(names, row).await.map(Arc::new) })
            .await?;
        Ok(Arc::clone(root))
    }

    /// Says that an instance needs its image no longer; the last one to say so has it removed, if
    /// that is wanted.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub async fn release(&self, instance_id: &str) -> io::Result<()> {
        let root = {
            let mut known = self.known.lock();
            let Some(entry) = known.get_mut(instance_id) else {
                return Ok(());
            };
            entry.users = entry.users.saturating_sub(1);
            if entry.users > 0 {
                return Ok(());
            }
            known.remove(instance_id).and_then(|entry| {
                let cell = Arc::into_inner(entry.root)?;
                Arc::into_inner(cell.into_inner()?)
            })
        };
        let Some(root) = root else {
            return Ok(());
        };
        let (store, afterwards) = (self.store.clone(), self.afterwards);
        tokio::task::spawn_blocking(move || root.close(&store, afterwards))
            .await
            .map_err(io::Error::other)?
    }

    /// The digest of an instance's image, as it is now; a directory has none.
    ///
    /// # Errors
    /// When it cannot be found or read.
    pub async fn digest(
        &self,
        names: &ImageNames,
        row: &Row,
    ) -> Result<Option<String>, RootsError> {
        Ok(match self.locate(names, row).await?.1 {
            Located::Directory(_) => None,
            Located::Image(image) => Some(image.digest().to_string()),
        })
    }

    async fn find(&self, names: &ImageNames, row: &Row) -> Result<ImageRoot, RootsError> {
        match self.locate(names, row).await? {
            (name, Located::Image(image)) => self.unpack(name, *image, &row.way).await,
            (name, Located::Directory(path)) => {
                let root = Root::open(&path).map_err(|error| RootsError::Unfit {
                    name: name.clone(),
                    why: error.to_string(),
                })?;
                open_root(name, &root, Process::default(), &row.way)
            }
        }
    }

    /// Whether there is an image of an instance, under any of its names.
    ///
    /// # Errors
    /// When that cannot be found out.
    pub async fn has(&self, names: &ImageNames, row: &Row) -> Result<bool, RootsError> {
        match self.locate(names, row).await {
            Ok(_) => Ok(true),
            Err(RootsError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where an instance's image is, and under which name.
    async fn locate(&self, names: &ImageNames, row: &Row) -> Result<(String, Located), RootsError> {
        let candidates = names.candidates(row)?;
        let first = candidates.first().map(ToString::to_string);
        let others = candidates.len().saturating_sub(1);
        for candidate in candidates {
            let name = candidate.to_string();
            match candidate {
                Candidate::Directory(path) if path.is_dir() => {
                    return Ok((name, Located::Directory(path)));
                }
                Candidate::Directory(_) => {}
                Candidate::Reference(reference) => {
                    match find_image(&self.resolver, &reference, None).await {
                        Ok(image) => return Ok((name, Located::Image(Box::new(image)))),
                        Err(error) if error.kind() == ErrorKind::NotFound => {}
                        Err(error) => {
                            return Err(RootsError::Failed {
                                what: error.what().to_owned(),
                                why: error.why().to_owned(),
                            });
                        }
                    }
                }
            }
        }
        Err(RootsError::NotFound {
            first: first.unwrap_or_default(),
            others,
        })
    }

    async fn unpack(
        &self,
        name: String,
        image: FoundImage,
        way: &Way,
    ) -> Result<ImageRoot, RootsError> {
        let what = || format!("cannot unpack {name}");
        let digest = image.digest().to_string();
        let process = Process::of(&image.config).map_err(|error| RootsError::Unfit {
            name: name.clone(),
            why: error.to_string(),
        })?;
        let failed = |error: ohoci_store::Error| RootsError::Failed {
            what: error.what().to_owned(),
            why: error.why().to_owned(),
        };
        let layers = image.layers().map_err(failed)?;
        let stack = keep(&self.store, layers, &what()).await.map_err(failed)?;
        let prepared =
            RemovedDirectory::create_in(&self.scratch).map_err(RootsError::io(what()))?;
        let lower: Vec<PathBuf> = std::iter::once(prepared.path().to_owned())
            .chain(stack.directories().iter().cloned())
            .collect();
        let merged = Merged::open(lower.iter().cloned()).map_err(RootsError::io(what()))?;
        let root = Root::merged(merged, prepared.path().to_owned());
        let mut root = open_root(name.clone(), &root, process, way)?;
        root.digest = Some(digest);
        root.lower = lower;
        root.stack = Some(stack);
        root._prepared = Some(prepared);
        Ok(root)
    }
}

/// Looks at a root file system, and makes in it what other files are put over: symlinks of the
/// image are resolved here, where they lead nowhere else.
fn open_root(
    name: String,
    root: &Root,
    process: Process,
    way: &Way,
) -> Result<ImageRoot, RootsError> {
    let unfit = |why: String| RootsError::Unfit {
        name: name.clone(),
        why,
    };
    let repository = &way.directory;
    if root.find(Path::new(repository)) != Some(ohoci_sandbox::root::Found::Directory) {
        return Err(unfit(format!("it has no directory {repository}")));
    }
    if root.find(Path::new(SHELL)).is_none() {
        return Err(unfit(format!("it has no {SHELL}")));
    }
    for directory in ["/proc", "/dev", "/tmp"] {
        let at = root
            .directory(Path::new(directory))
            .map_err(|error| unfit(error.to_string()))?;
        if at != Path::new(directory) {
            return Err(unfit(format!(
                "its {directory} is a symlink to {}",
                at.display()
            )));
        }
    }
    if !way.assets.is_empty() {
        let at = root.directory(Path::new(ASSETS));
        at.map_err(|error| unfit(error.to_string()))?;
    }
    let file = |path: &str| {
        root.file(Path::new(path))
            .map_err(|error| unfit(error.to_string()))
    };
    let list = |path: &str| {
        root.read(Path::new(path))
            .map(Option::unwrap_or_default)
            .map_err(|error| unfit(error.to_string()))
    };
    let user = User::find("0", &list("/etc/passwd")?, &list("/etc/group")?)
        .map_err(|error| unfit(error.to_string()))?;
    let has_etc = root.find(Path::new("/etc")).is_some();
    Ok(ImageRoot {
        patch_file: file(PATCH_FILE)?,
        eval_file: file(EVAL_FILE)?,
        hosts: has_etc.then(|| file(HOSTS)).transpose()?,
        resolv: has_etc.then(|| file(RESOLV)).transpose()?,
        lower: vec![root.path().to_owned()],
        name,
        digest: None,
        process,
        user,
        stack: None,
        addition: OnceCell::new(),
        _prepared: None,
    })
}

impl ImageRoot {
    /// What stands at a path of it that has no symlinks.
    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        Ok(Merged::open(self.lower.iter().cloned())?.find(path)?)
    }

    /// A root file system over it that a run may write, with its files in `scratch`.
    pub(super) fn workspace(&self, way: &CopyOnWrite, scratch: &Path) -> io::Result<Workspace> {
        let addition = self.addition.get().and_then(Option::as_ref);
        let mut lower = self.lower.clone();
        if let Some(directory) = addition.and_then(Addition::directory) {
            // Below what other files are put over, and above the layers.
            lower.insert(1.min(lower.len()), directory);
        }
        let workspace = Workspace::over(way, lower, scratch)?;
        if let Some(stack) = &self.stack {
            workspace.set_root_mode(stack.root_mode())?;
        }
        Ok(workspace)
    }

    /// Removes the layers that are not wanted any more and that nothing else uses.
    fn close(self, store: &LayerStore, afterwards: Afterwards) -> io::Result<()> {
        let Some(stack) = self.stack else {
            // A directory of the user's stays.
            return Ok(());
        };
        let unwanted = match afterwards {
            Afterwards::Keep => Vec::new(),
            Afterwards::RemoveOwn => stack.unpacked().to_vec(),
            Afterwards::Remove => stack.diff_ids().to_vec(),
        };
        drop(stack);
        if let Some(addition) = self.addition.into_inner().flatten()
            && !unwanted.is_empty()
        {
            addition.remove(store)?;
        }
        store.remove(Kind::Layer, &unwanted)
    }
}
