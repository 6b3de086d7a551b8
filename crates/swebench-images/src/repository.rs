//! The repositories that instances are made from: directories of this machine, or clones of URLs.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};

use super::git::{Git, GitError};

/// Where repositories come from: `[OWNER/NAME=]DIR` or `[OWNER/NAME=]URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoSource {
    /// The only repository that it is for.
    only: Option<String>,
    place: Location,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Location {
    /// A repository, or a folder of repositories.
    Directory(PathBuf),
    /// A repository, or with `{repo}` in it or without a name in front, all of a host's.
    Url(String),
}

impl RepoSource {
    /// Reads what stands behind `--repo-source`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let is_name = |name: &str| {
            name.split('/').count() == 2
                && name
                    .split('/')
                    .all(|part| !part.is_empty() && part != "." && part != "..")
                && !name.contains(':')
        };
        let (only, place) = match text.split_once('=') {
            Some((name, place)) if is_name(name) => (Some(name.to_owned()), place),
            _ => (None, text),
        };
        let place = match place.contains("://") {
            true => Location::Url(place.to_owned()),
            false => Location::Directory(place.into()),
        };
        Self { only, place }
    }
}

/// A repository of this machine.
#[derive(Clone, Debug)]
pub struct Repository {
    git: Git,
    directory: PathBuf,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its full name, `refs/tags/…`.
    pub name: String,
    /// What it points to: a tag object or a commit.
    pub target: String,
    /// The commit, where it points to a tag object.
    pub peeled: Option<String>,
}

/// Why there is no repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// No place has it.
    #[error("no --repo-source has {repository} with commit {commit}{}", .reasons.iter().map(|reason| format!("; {reason}")).collect::<String>())]
    NotFound {
        /// The repository.
        repository: String,
        /// The commit that was looked for.
        commit: String,
        /// What was wrong with places that could have had it.
        reasons: Vec<String>,
    },
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// The repository that has this commit, from the first place that does. What comes from a URL is
/// cloned into `clones` once, and fetched when it lacks a commit.
///
/// # Errors
/// When no place has it.
pub fn locate(
    git: &Git,
    sources: &[RepoSource],
    repository: &str,
    commit: &str,
    clones: &Path,
) -> Result<Repository, RepositoryError> {
    let mut reasons = Vec::new();
    let ours = |source: &&RepoSource| source.only.as_deref().is_none_or(|only| only == repository);
    for source in sources.iter().filter(ours) {
        let found = match &source.place {
            Location::Directory(directory) => in_directory(git, directory, repository, commit),
            Location::Url(url) => {
                let url = url_of(url, source.only.is_some(), repository);
                from_url(git, &url, commit, clones).unwrap_or_else(|error| {
                    reasons.push(format!("{}: {error}", without_secrets(&url)));
                    None
                })
            }
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(RepositoryError::NotFound {
        repository: repository.to_owned(),
        commit: commit.to_owned(),
        reasons,
    })
}

fn in_directory(git: &Git, directory: &Path, repository: &str, commit: &str) -> Option<Repository> {
    let short = repository.split('/').next_back().unwrap_or(repository);
    let names = [
        String::new(),
        repository.to_owned(),
        repository.replace('/', "__"),
        repository.replace('/', "+"),
        short.to_owned(),
    ];
    names
        .iter()
        .flat_map(|name| {
            let at = directory.join(name);
            [
                at.clone(),
                at.with_extension("git"),
                at.join("repo"),
                at.join(".git"),
            ]
        })
        // git would look for a repository above one that is none.
        .filter(|path| path.join("objects").is_dir() || path.join(".git").exists())
        .map(|path| Repository {
            git: git.clone(),
            directory: path,
        })
        .find(|found| found.has(commit))
}

fn url_of(url: &str, is_one: bool, repository: &str) -> String {
    if url.contains("{repo}") {
        url.replace("{repo}", repository)
    } else if is_one {
        url.to_owned()
    } else {
        format!("{}/{repository}", url.trim_end_matches('/'))
    }
}

/// A URL as it may be shown: a user's name and password may stand in front of the host.
fn without_secrets(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or(host);
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

/// What a clone holds: branches and tags, without the requests for review that some hosts publish
/// beside them, which are many more.
const REFERENCES: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

fn from_url(
    git: &Git,
    url: &str,
    commit: &str,
    clones: &Path,
) -> Result<Option<Repository>, CloneError> {
    let directory = clone_of(url, clones);
    let found = Repository {
        git: git.clone(),
        directory: directory.clone(),
    };
    // It got its name when it was whole. One that has what is wanted may lie where nothing can be
    // written.
    if directory.is_dir() && found.has(commit) {
        return Ok(Some(found));
    }
    fs_err::create_dir_all(clones)?;
    // Several instances, and several runs, want the same clone at the same time.
    let turn = fs_err::File::create(directory.with_extension("lock"))?;
    flock(turn.file(), FlockOperation::LockExclusive)?;
    if !directory.is_dir() {
        // Under another name until it is whole.
        let partial = directory.with_extension("partial");
        if partial.is_dir() {
            fs_err::remove_dir_all(&partial)?;
        }
        let target = partial.display().to_string();
        let words = [
            "clone",
            "--quiet",
            "--bare",
            "--template=",
            "--",
            url,
            &target,
        ];
        git.run_as_user(&words)?;
        fs_err::rename(&partial, &directory)?;
    } else if !found.has(commit) {
        found.fetch(&REFERENCES)?;
    }
    if !found.has(commit) && is_commit(commit) {
        // What no branch has any more can still be had by its name, from hosts that allow it.
        let kept = format!("{commit}:refs/ohoci/{commit}");
        let _ = found.fetch(&[&kept]);
    }
    Ok(found.has(commit).then_some(found))
}

/// Why a URL could not be cloned.
#[derive(Debug, thiserror::Error)]
enum CloneError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("cannot lock it: {0}")]
    Lock(#[from] rustix::io::Errno),
}

impl Repository {
    /// Runs git in it.
    pub(super) fn run(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let directory = self.directory.display().to_string();
        let all: Vec<&str> = ["-C", &directory]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        self.git.run(&all, input)
    }

    /// Fetches from where it was cloned.
    fn fetch(&self, references: &[&str]) -> Result<(), GitError> {
        let directory = format!("--git-dir={}", self.directory.display());
        let words = [&*directory, "fetch", "--quiet", "origin"];
        let words: Vec<&str> = words.iter().chain(references).copied().collect();
        self.git.run_as_user(&words).map(drop)
    }

    fn text(&self, words: &[&str]) -> Result<String, GitError> {
        let output = self.run(words, b"")?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }

    /// Its git.
    #[must_use]
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Whether it has a commit.
    #[must_use]
    pub fn has(&self, commit: &str) -> bool {
        is_commit(commit)
            && self
                .text(&["cat-file", "-e", &format!("{commit}^{{commit}}")])
                .is_ok()
    }

    /// A file at a commit.
    #[must_use]
    pub fn file(&self, commit: &str, path: &str) -> Option<String> {
        if !is_commit(commit) {
            return None;
        }
        let content = self.run(&["cat-file", "blob", &format!("{commit}:{path}")], b"");
        Some(String::from_utf8_lossy(&content.ok()?).into_owned())
    }

    /// The branch that a clone would be on.
    #[must_use]
    pub fn branch(&self) -> String {
        self.text(&["symbolic-ref", "--short", "HEAD"])
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "main".to_owned())
    }

    /// When a commit was made, in seconds since 1970.
    ///
    /// # Errors
    /// When git fails.
    pub fn date(&self, commit: &str) -> Result<i64, GitError> {
        // `show` would look into settings about signatures, and check them.
        let text = self.text(&["rev-list", "--max-count=1", "--timestamp", commit])?;
        let date = text.split(' ').next().unwrap_or_default();
        Ok(date.parse().unwrap_or_default())
    }

    /// The tags on a commit's ancestry that were made no later than it, by name.
    ///
    /// # Errors
    /// When git fails.
    pub fn tags(&self, commit: &str) -> Result<Vec<Tag>, GitError> {
        let latest = self.date(commit)?;
        let list = self.text(&[
            "for-each-ref",
            "--merged",
            commit,
            "--sort=refname",
            "--format=%(refname) %(objectname) %(*objectname) %(taggerdate:unix)",
            "refs/tags",
        ])?;
        let mut tags = Vec::new();
        for line in list.lines() {
            let mut words = line.split(' ');
            let mut next = || {
                words
                    .next()
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
            };
            let (Some(name), Some(target)) = (next(), next()) else {
                continue;
            };
            let peeled = next();
            let made: i64 = next()
                .and_then(|date| date.parse().ok())
                .unwrap_or_default();
            if made <= latest {
                tags.push(Tag {
                    name,
                    target,
                    peeled,
                });
            }
        }
        Ok(tags)
    }

    /// The commit at each step of a commit's mainline (its first parents), oldest first: at every
    /// multiple of `coarse`, and at the last one of `fine`. Which they are does not depend on what
    /// came later, so commits that lie near each other have them in common.
    ///
    /// # Errors
    /// When git fails.
    pub fn steps(&self, commit: &str, coarse: usize, fine: usize) -> Result<Vec<String>, GitError> {
        let list = self.text(&["rev-list", "--first-parent", "--reverse", commit])?;
        let mainline: Vec<&str> = list.lines().collect();
        let at = |place: usize| mainline.get(place.checked_sub(1)?).map(ToString::to_string);
        let places = steps_of(mainline.len(), (coarse, fine));
        Ok(places.into_iter().filter_map(at).collect())
    }

    /// Packs what is reachable from some objects and not from others into `directory`, which is that of
    /// the packs of another repository. Nothing is written to this one: git makes packs where it keeps
    /// objects, so it is told to keep them there.
    ///
    /// # Errors
    /// When git fails.
    pub fn pack(&self, wanted: &[&str], known: &[&str], directory: &Path) -> Result<(), GitError> {
        let mut revisions = String::new();
        for object in wanted {
            revisions.push_str(object);
            revisions.push('\n');
        }
        for object in known {
            revisions.push_str(&format!("^{object}\n"));
        }
        let name = directory.join("pack").display().to_string();
        // One thread: how objects lie in a pack depends on how the work was shared out.
        let words = [
            "-c",
            "pack.writeReverseIndex=false",
            "pack-objects",
            "--quiet",
            "--revs",
            "--threads=1",
            "--delta-base-offset",
            &name,
        ];
        let own = self.text(&["rev-parse", "--git-path", "objects"])?;
        let own = self.directory.join(own);
        let own = fs_err::canonicalize(&own).unwrap_or(own);
        let at = self.directory.display().to_string();
        let words: Vec<&str> = ["-C", &at].into_iter().chain(words).collect();
        let environment: [(&str, &OsStr); 2] = [
            (
                "GIT_OBJECT_DIRECTORY",
                directory.parent().unwrap_or(directory).as_os_str(),
            ),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", &quoted(&own)),
        ];
        self.git
            .run_with(&words, revisions.as_bytes(), &environment)
            .map(drop)
    }
}

/// A path in a list that colons part (git(1), `GIT_ALTERNATE_OBJECT_DIRECTORIES`).
fn quoted(path: &Path) -> OsString {
    let text = path.as_os_str().as_encoded_bytes();
    if !text.contains(&b':') && !text.starts_with(b"\"") {
        return path.as_os_str().to_owned();
    }
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")).into()
}

/// Where on a mainline of so many commits the parts of a history end: at every multiple of the first
/// number, and at the last one of the second.
#[must_use]
pub(crate) fn steps_of(count: usize, (coarse, fine): (usize, usize)) -> Vec<usize> {
    let mut places: Vec<usize> = (1..=count / coarse).map(|step| step * coarse).collect();
    places.push(count - count % fine);
    places.dedup();
    places.retain(|place| *place > 0);
    places
}

/// The repository with this commit, where it is on this machine already: nothing is cloned.
#[must_use]
pub(crate) fn at_hand(
    git: &Git,
    sources: &[RepoSource],
    repository: &str,
    commit: &str,
    clones: &Path,
) -> Option<Repository> {
    let ours = |source: &&RepoSource| source.only.as_deref().is_none_or(|only| only == repository);
    sources
        .iter()
        .filter(ours)
        .find_map(|source| match &source.place {
            Location::Directory(directory) => in_directory(git, directory, repository, commit),
            Location::Url(url) => {
                let url = url_of(url, source.only.is_some(), repository);
                let found = Repository {
                    git: git.clone(),
                    directory: clone_of(&url, clones),
                };
                (found.directory.is_dir() && found.has(commit)).then_some(found)
            }
        })
}

/// Whether a repository may come from a URL, which is not asked before it is needed.
#[must_use]
pub(crate) fn has_url(sources: &[RepoSource], repository: &str) -> bool {
    let mut sources = sources.iter();
    sources.any(|source| {
        let is_ours = source.only.as_deref().is_none_or(|only| only == repository);
        is_ours && matches!(source.place, Location::Url(_))
    })
}

/// Where the clone of a URL is.
fn clone_of(url: &str, clones: &Path) -> PathBuf {
    clones.join(format!("{}.git", hex::encode(Sha256::digest(url))))
}

/// Whether this names a commit in full: anything else could be an option, or move.
#[must_use]
pub(crate) fn is_commit(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let one = RepoSource::parse("a/b=/somewhere");
        assert_eq!(one.only.as_deref(), Some("a/b"));
        assert_eq!(one.place, Location::Directory("/somewhere".into()));
        let all = RepoSource::parse("https://git.example/");
        assert_eq!(
            (&all.only, &all.place),
            (&None, &Location::Url("https://git.example/".to_owned()))
        );
        assert_eq!(RepoSource::parse("./x=y").only, None);
        assert_eq!(
            url_of("https://git.example/", false, "a/b"),
            "https://git.example/a/b"
        );
        assert_eq!(
            url_of("https://git.example/{repo}.git", false, "a/b"),
            "https://git.example/a/b.git"
        );
        assert_eq!(url_of("file:///x.git", true, "a/b"), "file:///x.git");
    }

    #[test]
    fn passwords_in_urls_are_not_told() {
        for (url, told) in [
            (
                "https://user:secret@git.example/a/b",
                "https://git.example/a/b",
            ),
            ("file:///x/a@b", "file:///x/a@b"),
            ("git://git.example", "git://git.example/"),
        ] {
            assert_eq!(without_secrets(url), told);
        }
    }

    #[test]
    fn only_whole_names_are_commits() {
        assert!(is_commit(&"a".repeat(40)));
        for text in ["HEAD", "abc", "--all", ""] {
            assert!(!is_commit(text), "{text}");
        }
    }

    #[test]
    fn a_path_with_a_colon_is_one_of_a_list() {
        assert_eq!(quoted(Path::new("/a b")), "/a b");
        assert_eq!(quoted(Path::new("/a:b\"c")), r#""/a:b\"c""#);
    }

    /// A repository whose folder of packs is a file: whoever writes packs there fails, whatever user it
    /// is, as where nothing can be written.
    #[test]
    fn a_repository_that_cannot_be_written_is_packed_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = std::env::var_os("PATH");
        let git = Git::find(path.as_deref()).unwrap();
        let source = directory.path().join("source");
        let at = source.display().to_string();
        git.run(&["init", "--quiet", &at], b"").unwrap();
        fs_err::write(source.join("a"), "b").unwrap();
        git.run(&["-C", &at, "add", "a"], b"").unwrap();
        let words = [
            "-C",
            &*at,
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@registry.example",
        ];
        let commit: Vec<&str> = words
            .into_iter()
            .chain(["commit", "--quiet", "-m", "a"])
            .collect();
        git.run(&commit, b"").unwrap();
        let packs = source.join(".git/objects/pack");
        fs_err::remove_dir_all(&packs).unwrap();
        fs_err::write(&packs, "").unwrap();
        let head = fs_err::read_dir(source.join(".git/refs/heads")).unwrap();
        let head = head.into_iter().next().unwrap().unwrap().path();
        let head = fs_err::read_to_string(head).unwrap().trim().to_owned();
        let source = [RepoSource::parse(&at)];
        let found = locate(&git, &source, "a/b", &head, Path::new("/nowhere")).unwrap();
        let to = directory.path().join("objects/pack");
        fs_err::create_dir_all(&to).unwrap();
        found.pack(&[&head], &[], &to).unwrap();
        let names: Vec<String> = fs_err::read_dir(&to)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(
            names.iter().any(|name| name.ends_with(".pack")),
            "{names:?}"
        );
    }
}
