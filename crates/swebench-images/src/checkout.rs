//! A work tree at a commit that knows only what came before it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::git::GitError;
use super::repository::{Repository, Tag};
use ohoci_layer::Directory;

/// Where the work tree lies in an image.
pub(crate) const WORK_TREE: &str = "testbed";

/// How many commits of the mainline each part of the history has that many instances share, and how
/// many at most are left for the instance's own layer.
pub(crate) const STEPS: (usize, usize) = (8192, 256);

/// What a checkout is made of.
#[derive(Clone, Debug)]
pub(crate) struct Checkout {
    /// The commit.
    pub commit: String,
    /// The tags on its ancestry.
    tags: Vec<Tag>,
    /// Where the parts of its history end that other instances have, too, oldest first.
    steps: Vec<String>,
    branch: String,
}

/// A part of a history: what one commit can reach and an earlier one cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    to: String,
    from: Option<String>,
}

impl Part {
    /// A name for the objects in it.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        let from = self.from.as_deref().unwrap_or_default();
        hex::encode(Sha256::digest(format!("{from}..{}", self.to)))
    }

    /// Writes it below a directory that stands for the root, in which nothing has run yet: git
    /// writes by paths.
    ///
    /// # Errors
    /// When git fails or nothing can be written.
    pub(crate) fn write(
        &self,
        repository: &Repository,
        root: &Directory,
    ) -> Result<(), CheckoutError> {
        let known: Vec<&str> = self.from.as_deref().into_iter().collect();
        repository.pack(&[&self.to], &known, packs(root)?.path())?;
        Ok(set_modes(root, Path::new(WORK_TREE))?)
    }
}

/// Why there is no checkout.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckoutError {
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The parts of a history that end at these commits, oldest first.
#[must_use]
pub(crate) fn parts(ends: &[String]) -> Vec<Part> {
    let before = std::iter::once(None).chain(ends.iter().cloned().map(Some));
    let parts = ends.iter().cloned().zip(before);
    parts.map(|(to, from)| Part { to, from }).collect()
}

impl Checkout {
    /// Looks at a repository; writes nothing.
    ///
    /// # Errors
    /// When git fails.
    pub(crate) fn plan(repository: &Repository, commit: &str) -> Result<Self, GitError> {
        let (coarse, fine) = STEPS;
        Ok(Self {
            commit: commit.to_owned(),
            tags: repository.tags(commit)?,
            steps: repository.steps(commit, coarse, fine)?,
            branch: repository.branch(),
        })
    }

    /// The parts of its history that others have, too, oldest first.
    #[must_use]
    pub(crate) fn parts(&self) -> Vec<Part> {
        parts(&self.steps)
    }

    /// A name for all that the checkout holds.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        let tags: Vec<String> = self
            .tags
            .iter()
            .map(|tag| format!("{} {}", tag.name, tag.target))
            .collect();
        let steps = self.steps.join(" ");
        let text = format!(
            "{}\n{}\n{steps}\n{}",
            self.commit,
            self.branch,
            tags.join("\n")
        );
        hex::encode(Sha256::digest(text))
    }

    /// Writes the work tree and the rest of the history. `parts` is where its parts were written.
    ///
    /// # Errors
    /// As [`Part::write`].
    pub(crate) fn write(
        &self,
        repository: &Repository,
        root: &Directory,
        parts: &[PathBuf],
    ) -> Result<(), CheckoutError> {
        let packs = packs(root)?;
        let opened = root.directory(WORK_TREE)?.directory(".git")?;
        let work_tree = root.path().join(WORK_TREE);
        let git_dir = work_tree.join(".git");
        let mut wanted = vec![self.commit.as_str()];
        let objects = self.tags.iter().filter(|tag| tag.peeled.is_some());
        wanted.extend(objects.map(|tag| tag.target.as_str()));
        let known: Vec<&str> = self.steps.last().map(String::as_str).into_iter().collect();
        repository.pack(&wanted, &known, packs.path())?;
        self.write_references(&opened)?;
        let objects = parts
            .iter()
            .map(|part| part.join(WORK_TREE).join(".git/objects"));
        let alternates = std::env::join_paths(objects).map_err(io::Error::other)?;
        let environment: [(&str, &OsStr); 3] = [
            ("GIT_DIR", git_dir.as_os_str()),
            ("GIT_WORK_TREE", work_tree.as_os_str()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", &alternates),
        ];
        let words = ["read-tree", "-u", "--reset", &self.commit];
        repository.git().run_with(&words, b"", &environment)?;
        Ok(set_modes(root, Path::new(WORK_TREE))?)
    }

    fn write_references(&self, git_dir: &Directory) -> io::Result<()> {
        let heads = Path::new("refs/heads").join(&self.branch);
        if let Some(parent) = heads.parent() {
            git_dir.make_directory(parent)?;
        }
        git_dir.make_directory("refs/tags")?;
        git_dir.make_directory("objects/info")?;
        let write = |path: &Path, text: &str| git_dir.write(path, text.as_bytes(), 0o644);
        write(&heads, &format!("{}\n", self.commit))?;
        write(
            Path::new("HEAD"),
            &format!("ref: refs/heads/{}\n", self.branch),
        )?;
        write(
            Path::new("config"),
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
        write(Path::new("packed-refs"), &packed)
    }
}

fn packs(root: &Directory) -> io::Result<Directory> {
    root.make_directory(Path::new(WORK_TREE).join(".git/objects/pack"))
}

/// Gives everything the same permissions whatever this process' umask is. Upstream lets every user
/// write, so that tests need not run as root.
fn set_modes(root: &Directory, path: &Path) -> io::Result<()> {
    root.set_mode(path, 0o777)?;
    for name in root.list(path)? {
        let child = path.join(name);
        match root.find(&child)? {
            Some(found) if found.is_directory() => set_modes(root, &child)?,
            Some(found) if found.is_regular_file() => {
                let executable = found.mode & 0o100 != 0;
                root.set_mode(&child, if executable { 0o755 } else { 0o644 })?;
            }
            _ => {}
        }
    }
    Ok(())
}
