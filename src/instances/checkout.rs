//! A work tree at a commit that knows only what came before it.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::git::GitError;
use super::repository::{Repository, Tag};
use crate::swebench::environment::hex;

/// Where the work tree lies in an image.
pub const WORK_TREE: &str = "testbed";

/// What a checkout is made of.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The commit.
    pub commit: String,
    /// The tags on its ancestry.
    tags: Vec<Tag>,
    /// The part of its history that other instances have, too: that of the nearest tag.
    shared: Option<Shared>,
    branch: String,
}

#[derive(Clone, Debug)]
struct Shared {
    commit: String,
    /// The tag objects in it.
    objects: Vec<String>,
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Checkout {
    /// Looks at a repository; writes nothing.
    ///
    /// # Errors
    /// When git fails.
    pub fn plan(repository: &Repository, commit: &str) -> Result<Self, GitError> {
        let (tags, later) = repository.tags(commit)?;
        let nearest = repository.nearest_tag(commit, &later);
        let nearest = tags.iter().find(|tag| Some(&tag.name) == nearest.as_ref());
        let shared = match nearest {
            None => None,
            Some(tag) => {
                let commit = tag.peeled.as_ref().unwrap_or(&tag.target).clone();
                let (objects, _) = repository.tags(&commit)?;
                let objects = objects.into_iter().filter(|tag| tag.peeled.is_some());
                Some(Shared {
                    objects: objects.map(|tag| tag.target).collect(),
                    commit,
                })
            }
        };
        Ok(Self {
            commit: commit.to_owned(),
            tags,
            shared,
            branch: repository.branch(),
        })
    }

    /// A name for all that the checkout holds.
    #[must_use]
    pub fn key(&self) -> String {
        let tags: Vec<String> = self
            .tags
            .iter()
            .map(|tag| format!("{} {}", tag.name, tag.target))
            .collect();
        let shared = self.shared_key().unwrap_or_default();
        let text = format!(
            "{}\n{}\n{shared}\n{}",
            self.commit,
            self.branch,
            tags.join("\n")
        );
        hex(&Sha256::digest(text))
    }

    /// A name for the history that others have, too, if there is some.
    #[must_use]
    pub fn shared_key(&self) -> Option<String> {
        let shared = self.shared.as_ref()?;
        let text = format!("{}\n{}", shared.commit, shared.objects.join("\n"));
        Some(hex(&Sha256::digest(text)))
    }

    /// Writes that history below a directory that stands for the root.
    ///
    /// # Errors
    /// When git fails or nothing can be written.
    pub fn write_shared(&self, repository: &Repository, root: &Path) -> Result<(), CheckoutError> {
        let Some(shared) = &self.shared else {
            return Ok(());
        };
        let packs = packs(root)?;
        let mut wanted = vec![shared.commit.as_str()];
        wanted.extend(shared.objects.iter().map(String::as_str));
        repository.pack(&wanted, &[], &packs)?;
        Ok(set_modes(&root.join(WORK_TREE))?)
    }

    /// Writes the work tree and the rest of the history. `shared` is where [`Self::write_shared`]
    /// wrote.
    ///
    /// # Errors
    /// As [`Self::write_shared`].
    pub fn write(
        &self,
        repository: &Repository,
        root: &Path,
        shared: Option<&Path>,
    ) -> Result<(), CheckoutError> {
        let packs = packs(root)?;
        let work_tree = root.join(WORK_TREE);
        let git_dir = work_tree.join(".git");
        let known = self.shared.as_ref().map(|shared| shared.commit.as_str());
        let there = self.shared.iter().flat_map(|shared| &shared.objects);
        let there: Vec<&String> = there.collect();
        let mut wanted = vec![self.commit.as_str()];
        let objects = self.tags.iter().filter(|tag| tag.peeled.is_some());
        wanted.extend(
            objects
                .map(|tag| &tag.target)
                .filter(|target| !there.contains(target))
                .map(String::as_str),
        );
        let known: Vec<&str> = known.into_iter().collect();
        repository.pack(&wanted, &known, &packs)?;
        self.write_references(&git_dir)?;
        let alternates = shared.map(|shared| shared.join(WORK_TREE).join(".git/objects"));
        let mut environment: Vec<(&str, &Path)> =
            vec![("GIT_DIR", &git_dir), ("GIT_WORK_TREE", &work_tree)];
        if let Some(alternates) = &alternates {
            environment.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES", alternates));
        }
        let words = ["read-tree", "-u", "--reset", &self.commit];
        repository.git().run_with(&words, b"", &environment)?;
        Ok(set_modes(&work_tree)?)
    }

    fn write_references(&self, git_dir: &Path) -> io::Result<()> {
        let heads = git_dir.join("refs/heads").join(&self.branch);
        if let Some(parent) = heads.parent() {
            fs_err::create_dir_all(parent)?;
        }
        fs_err::create_dir_all(git_dir.join("refs/tags"))?;
        fs_err::create_dir_all(git_dir.join("objects/info"))?;
        fs_err::write(heads, format!("{}\n", self.commit))?;
        fs_err::write(
            git_dir.join("HEAD"),
            format!("ref: refs/heads/{}\n", self.branch),
        )?;
        fs_err::write(
            git_dir.join("config"),
            "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n",
        )?;
        // git-pack-refs(1) and `refs/packed-backend.c`: sorted by name, commits behind tag objects.
        let mut packed = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
        for tag in &self.tags {
            packed.push_str(&format!("{} {}\n", tag.target, tag.name));
            if let Some(commit) = &tag.peeled {
                packed.push_str(&format!("^{commit}\n"));
            }
        }
        fs_err::write(git_dir.join("packed-refs"), packed)
    }
}

fn packs(root: &Path) -> io::Result<PathBuf> {
    let packs = root.join(WORK_TREE).join(".git/objects/pack");
    fs_err::create_dir_all(&packs)?;
    Ok(packs)
}

/// Gives everything the same permissions whatever this process' umask is. Upstream lets everybody
/// write, so that tests need not run as root.
fn set_modes(directory: &Path) -> io::Result<()> {
    fs_err::set_permissions(directory, PermissionsExt::from_mode(0o777))?;
    for child in fs_err::read_dir(directory)? {
        let child = child?;
        let kind = child.file_type()?;
        if kind.is_dir() {
            set_modes(&child.path())?;
        } else if kind.is_file() {
            let executable = child.metadata()?.mode() & 0o100 != 0;
            let mode = if executable { 0o755 } else { 0o644 };
            fs_err::set_permissions(child.path(), PermissionsExt::from_mode(mode))?;
        }
    }
    Ok(())
}
