//! Proves that an instance's repository knows nothing newer than its base commit.
//!
//! No program of the image is run, and none of its git's settings is obeyed: its objects are put
//! into a repository of their own, packs are indexed anew, and all else is read as text.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::git::{Git, GitError};
use super::repository::is_commit;
use ohoci_layer::Directory;
use ohoci_swebench::setup_script::COMMIT_MESSAGE;

/// Largest file of references or logs that is read, in bytes.
const MAX_TEXT: u64 = 64 << 20;
/// How many findings of a kind are kept; the rest is counted.
const MAX_FINDINGS: usize = 200;

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Audit {
    /// The commit after which nothing may come.
    pub base_commit: String,
    /// How many objects were looked at.
    pub objects: usize,
    /// How many of them are commits.
    pub commits: usize,
    /// How many commits are older than the base commit but not on its ancestry: other branches.
    pub elsewhere: usize,
    /// What is newer, or leads to what is.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub more: usize,
}

/// Something that should not be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// Its object's name, its path below `.git`, or both.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// A commit.
    Commit,
    /// A tag object.
    Tag,
    /// A tree or a file's content.
    Object,
    /// A branch, a tag or another name.
    Reference,
    /// A log of where a reference was.
    Reflog,
    /// A place to fetch from.
    Remote,
    /// Objects that lie elsewhere.
    Alternate,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The base commit is not there.
    #[error("the repository does not hold the base commit {0}")]
    NoBase(String),
}

/// Looks through a repository's `.git`, which is a directory of this machine, of which no symlink is
/// followed. Files are written into `work_dir`.
///
/// # Errors
/// When it cannot be read, or has not even the base commit.
pub(crate) fn audit(
    git: &Git,
    git_dir: &Directory,
    base_commit: &str,
    work_dir: &Path,
) -> Result<Audit, AuditError> {
    let fresh = work_dir.join("audit.git");
    let own = Own::collect(git, git_dir, &fresh)?;
    let kinds = own.kinds()?;
    if !is_commit(base_commit) || kinds.get(base_commit).map(String::as_str) != Some("commit") {
        return Err(AuditError::NoBase(base_commit.to_owned()));
    }
    let mut found = Audit {
        base_commit: base_commit.to_owned(),
        objects: kinds.len(),
        ..Audit::default()
    };
    let of_kind = |wanted: &str| -> Vec<&str> {
        let names = kinds.iter().filter(|(_, kind)| *kind == wanted);
        names.map(|(name, _)| name.as_str()).collect()
    };
    let commits = own.read(&of_kind("commit"))?;
    let tags = own.read(&of_kind("tag"))?;
    found.commits = commits.len();
    let date = commits.get(base_commit).map_or(0, |commit| commit.date);
    let ancestry: HashSet<String> = own.reachable(&[base_commit.to_owned()], false)?;
    let is_setup =
        |object: &Read| object.parents == [base_commit] && object.message.trim() == COMMIT_MESSAGE;
    // Only one: a second one could carry anything.
    let setup = own
        .head(git_dir)
        .filter(|head| commits.get(head).is_some_and(is_setup));
    let mut allowed: Vec<String> = vec![base_commit.to_owned()];
    allowed.extend(setup.clone());
    for (name, commit) in &commits {
        if ancestry.contains(name) || setup.as_ref() == Some(name) {
            continue;
        }
        if commit.date <= date {
            found.elsewhere += 1;
            allowed.push(name.clone());
        } else {
            let why = format!("it is newer than the base commit: {}", commit.title());
            found.add(FindingKind::Commit, name, why);
        }
    }
    for (name, tag) in &tags {
        if tag.date <= date {
            allowed.push(name.clone());
        } else {
            let why = format!("it was made after the base commit: {}", tag.title());
            found.add(FindingKind::Tag, name, why);
        }
    }
    let known = own.reachable(&allowed, true)?;
    for (name, kind) in &kinds {
        if ["blob", "tree"].contains(&kind.as_str()) && !known.contains(name) {
            let why = format!("this {kind} is in no commit up to the base commit");
            found.add(FindingKind::Object, name, why);
        }
    }
    found.texts(git_dir, &known)?;
    Ok(found)
}

impl Audit {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, kind: FindingKind, name: &str, why: impl Into<String>) {
        let same = self.findings.iter().filter(|finding| finding.kind == kind);
        if same.count() >= MAX_FINDINGS {
            self.more += 1;
            return;
        }
        self.findings.push(Finding {
            kind,
            name: name.to_owned(),
            why: why.into(),
        });
    }

    /// References, their logs, and what leads out of the repository.
    fn texts(&mut self, git_dir: &Directory, known: &HashSet<String>) -> io::Result<()> {
        for path in files(git_dir, Path::new(""))? {
            let name = path.display().to_string();
            let first = name.split('/').next().unwrap_or_default();
            let is_head = !name.contains('/') && (name.ends_with("HEAD") || name == "shallow");
            let kind = match first {
                "logs" => FindingKind::Reflog,
                "refs" | "packed-refs" => FindingKind::Reference,
                _ if is_head || name == "info/grafts" => FindingKind::Reference,
                "modules" | "worktrees" if name.contains("/objects/") => {
                    self.add(
                        FindingKind::Alternate,
                        &name,
                        "it holds objects of another repository",
                    );
                    continue;
                }
                "objects" if name.ends_with("alternates") => {
                    self.add(
                        FindingKind::Alternate,
                        &name,
                        "it names another place of objects",
                    );
                    continue;
                }
                "config" => {
                    for line in text(git_dir, &path)?.lines().map(str::trim) {
                        if line.starts_with("[remote") || line.starts_with("[include") {
                            self.add(
                                FindingKind::Remote,
                                &name,
                                format!("it has a section {line}"),
                            );
                        }
                    }
                    continue;
                }
                _ => continue,
            };
            for line in text(git_dir, &path)?.lines() {
                for word in line.split(|c: char| !c.is_ascii_hexdigit()) {
                    let is_nothing = word.bytes().all(|digit| digit == b'0');
                    if is_commit(word) && !is_nothing && !known.contains(word) {
                        let line = line.split('\t').next_back().unwrap_or(line);
                        self.add(
                            kind,
                            &format!("{name}: {word}"),
                            format!("it names what does not belong there: {}", line.trim()),
                        );
                    }
                }
            }
        }
        Ok(())
    }
}

/// The image's objects in a repository of our own.
struct Own<'a> {
    git: &'a Git,
    directory: PathBuf,
}

/// What a commit or a tag says.
struct Read {
    date: i64,
    parents: Vec<String>,
    message: String,
}

impl Read {
    fn title(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

impl<'a> Own<'a> {
    fn collect(git: &'a Git, git_dir: &Directory, directory: &Path) -> Result<Self, AuditError> {
        let target = directory.display().to_string();
        git.run(&["init", "--quiet", "--bare", "--template=", &target], b"")?;
        let own = Self {
            git,
            directory: directory.to_owned(),
        };
        let packs = directory.join("objects/pack");
        fs_err::create_dir_all(&packs)?;
        for path in files(git_dir, Path::new("objects"))? {
            let name = path.file_name().unwrap_or_default();
            let extension = path.extension().unwrap_or_default();
            let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
            if extension == "pack" {
                let pack = packs.join(name);
                copy(git_dir, &path, &pack)?;
                // What its own index leaves out would be out of sight.
                own.run(&["index-pack", &pack.display().to_string()], b"")?;
            } else if folder.len() == 2 {
                let to = directory.join("objects").join(folder);
                fs_err::create_dir_all(&to)?;
                copy(git_dir, &path, &to.join(name))?;
            }
        }
        Ok(own)
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let directory = self.directory.display().to_string();
        let all: Vec<&str> = ["--git-dir", &directory]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        self.git.run(&all, input)
    }

    /// All objects and what they are.
    fn kinds(&self) -> Result<BTreeMap<String, String>, GitError> {
        let list = self.run(
            &[
                "cat-file",
                "--batch-all-objects",
                "--unordered",
                "--batch-check=%(objectname) %(objecttype)",
            ],
            b"",
        )?;
        let list = String::from_utf8_lossy(&list).into_owned();
        let pairs = list.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect())
    }

    /// What commits and tags say.
    fn read(&self, names: &[&str]) -> Result<HashMap<String, Read>, GitError> {
        let output = self.run(
            &["cat-file", "--batch"],
            (names.join("\n") + "\n").as_bytes(),
        )?;
        let mut found = HashMap::new();
        let mut rest = output.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            let line = String::from_utf8_lossy(line).into_owned();
            let mut words = line.split(' ');
            let name = words.next().unwrap_or_default().to_owned();
            let Some(size) = words.nth(1).and_then(|size| size.parse::<usize>().ok()) else {
                break;
            };
            let content = after.get(1..=size).unwrap_or_default();
            found.insert(name, parse(&String::from_utf8_lossy(content)));
            rest = after.get(size + 2..).unwrap_or_default();
        }
        Ok(found)
    }

    /// What is reachable from these, themselves included.
    fn reachable(&self, names: &[String], objects: bool) -> Result<HashSet<String>, GitError> {
        let mut words = vec!["rev-list", "--stdin", "--missing=allow-any"];
        if objects {
            words.push("--objects");
        }
        let output = self.run(&words, (names.join("\n") + "\n").as_bytes())?;
        let output = String::from_utf8_lossy(&output).into_owned();
        let listed = output.lines().filter_map(|line| line.split(' ').next());
        let mut found: HashSet<String> = listed.map(str::to_owned).collect();
        found.extend(names.iter().cloned());
        Ok(found)
    }

    /// The commit that the image's work tree stands at.
    fn head(&self, git_dir: &Directory) -> Option<String> {
        let text = |path: &str| text(git_dir, Path::new(path));
        let head = text("HEAD").ok()?;
        let head = head.trim();
        let Some(name) = head.strip_prefix("ref: ") else {
            return Some(head.to_owned());
        };
        if !name.starts_with("refs/") || name.contains("..") {
            return None;
        }
        if let Ok(commit) = text(name) {
            return Some(commit.trim().to_owned());
        }
        let packed = text("packed-refs").ok()?;
        let line = packed
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")))?;
        line.split(' ').next().map(str::to_owned)
    }
}

/// The headers and the message of a commit or a tag.
fn parse(content: &str) -> Read {
    let (headers, message) = content.split_once("\n\n").unwrap_or((content, ""));
    let mut found = Read {
        date: 0,
        parents: Vec::new(),
        message: message.to_owned(),
    };
    for line in headers.lines() {
        match line.split_once(' ') {
            Some(("parent", commit)) => found.parents.push(commit.to_owned()),
            Some(("committer" | "tagger", person)) => {
                let date = person.rsplit(' ').nth(1);
                // One that cannot be read counts as newer than everything.
                found.date = date.and_then(|date| date.parse().ok()).unwrap_or(i64::MAX);
            }
            _ => {}
        }
    }
    found
}

/// The ordinary files below a path of a directory, in order.
fn files(directory: &Directory, below: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![below.to_owned()];
    while let Some(path) = waiting.pop() {
        let Some(own) = directory.find(&path)? else {
            continue;
        };
        if own.is_regular_file() {
            found.push(path);
        } else if own.is_directory() {
            let names = directory.list(&path)?.into_iter();
            waiting.extend(names.map(|name| path.join(name)));
        }
    }
    found.sort();
    Ok(found)
}

fn copy(directory: &Directory, path: &Path, to: &Path) -> io::Result<()> {
    let mut file = directory.open_file(path)?;
    io::copy(&mut file, &mut fs_err::File::create(to)?).map(drop)
}

/// The start of a file.
fn text(directory: &Directory, path: &Path) -> io::Result<String> {
    use std::io::Read as _;
    let mut content = Vec::new();
    let file = directory.open_file(path)?;
    file.take(MAX_TEXT).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_an_odd_date_is_newer_than_everything() {
        let read = parse("tree x\nparent a\nparent b\ncommitter X <x@y> 12 +0100\n\nSWE-bench\n");
        assert_eq!(
            (read.date, read.parents.as_slice()),
            (12, &["a".to_owned(), "b".to_owned()][..])
        );
        assert_eq!(read.title(), "SWE-bench");
        assert_eq!(parse("tagger X <x@y> never +0000\n\nx").date, i64::MAX);
    }
}
