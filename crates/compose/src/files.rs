//! All that an image shows at its paths, as an overlay of its layers shows it.

pub mod head;
mod kept;
pub mod machine_code;

use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use super::real_path::{MOST_LINKS, Stopped, real_path, walk};
use head::Head;
use kept::Kept;
pub(crate) use kept::is_text;
pub use kept::{InstalledPackages, upstream_version};
use ohoci_layer::entry::Kind;
use ohoci_layer::path::printable;
use ohoci_layer::tar_read::{Member, TarError, TarReader};
use ohoci_layer::whiteout::Whiteout;

/// Most entries of a layer that are worth remembering.
const MOST_REMEMBERED: usize = 400_000;

/// What stands at every path, after all layers so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Paths from the image's root, with what stands there.
    entries: BTreeMap<String, File>,
    /// Paths that this removes from the layers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    removed: Vec<String>,
    /// Directories that this empties of what is in the layers below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emptied: Vec<String>,
}

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// What it is.
    #[serde(rename = "k")]
    pub what: What,
    /// Permission bits.
    #[serde(rename = "m")]
    pub mode: u32,
    /// Owner.
    #[serde(rename = "u", default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Group.
    #[serde(rename = "g", default, skip_serializing_if = "is_zero")]
    pub gid: u32,
}

/// The kinds of what stands at a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A directory.
    #[serde(rename = "d")]
    Directory,
    /// A directory that no layer has an entry of, but what is below it.
    #[serde(rename = "i")]
    Implied,
    /// A symlink to there.
    #[serde(rename = "l")]
    Link(String),
    /// Another name for what stands at this path.
    #[serde(rename = "h")]
    Same(String),
    /// A file with a head of its own: a script, machine code, or nothing at all.
    #[serde(rename = "p")]
    Program(Head),
    /// A file whose text is kept.
    #[serde(rename = "t")]
    Text(String),
    /// What glibc's loader looks libraries up in, as the directories that it names.
    #[serde(rename = "c")]
    LoaderCache(Vec<String>),
    /// dpkg's list of packages, as what of it matters.
    #[serde(rename = "q")]
    Packages(InstalledPackages),
    /// Any other file.
    #[serde(rename = "f")]
    Plain,
    /// A device or a pipe.
    #[serde(rename = "o")]
    Special,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what serde calls takes a reference"
)]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// There is nothing.
    #[error("{0} is not there")]
    Missing(String),
    /// A symlink on the way leads to where nothing is.
    #[error("{link} is a link to {target}, and {missing} is not there")]
    Dangling {
        /// The symlink.
        link: String,
        /// Its target as it is written.
        target: String,
        /// What is missing.
        missing: String,
    },
    /// Something on the way is no directory.
    #[error("{0} is no directory")]
    NoDirectory(String),
    /// Symlinks lead in a circle.
    #[error("the links on the way to {0} never end")]
    Circle(String),
}

/// Whoever reads and starts files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The user.
    pub uid: u32,
    /// All groups.
    pub gids: Vec<u32>,
}

impl Who {
    /// Whether `bit` (4 read, 2 write, 1 execute or search) is allowed.
    #[must_use]
    pub fn may(&self, file: &File, bit: u32) -> bool {
        if self.uid == 0 {
            // Root can execute a file with any execute bit, and read and write whatever the bits are.
            let is_program = !matches!(file.what, What::Directory | What::Implied);
            return bit != 1 || !is_program || file.mode & 0o111 != 0;
        }
        let shift = if file.uid == self.uid {
            6
        } else if self.gids.contains(&file.gid) {
            3
        } else {
            0
        };
        file.mode >> shift & bit != 0
    }
}

impl Files {
    /// Reads one layer's.
    ///
    /// # Errors
    /// See [`TarError`].
    pub(crate) fn read<R: Read>(
        reader: &mut TarReader<R>,
        mut each: impl FnMut(&Member) -> Result<(), TarError>,
    ) -> Result<Self, TarError> {
        let mut files = Self::default();
        while let Some(member) = reader.next_member()? {
            each(&member)?;
            files.take(&member, reader)?;
        }
        Ok(files)
    }

    /// Takes one member of a layer, with a file's content.
    pub(crate) fn take(&mut self, member: &Member, content: &mut impl Read) -> io::Result<()> {
        match &member.whiteout {
            Some(Whiteout::Path(path)) => {
                self.removed.push(printable(path.as_bytes()));
                return Ok(());
            }
            Some(Whiteout::Below(path)) => {
                self.emptied.push(printable(path.as_bytes()));
                return Ok(());
            }
            None => {}
        }
        let path = printable(member.path.as_bytes());
        // Symlinks of the same layer are followed, as unpacking does.
        let path = self.real(&path).unwrap_or(path);
        let what = match &member.entry.kind {
            Kind::Directory => What::Directory,
            Kind::Symlink(target) => What::Link(printable(target)),
            Kind::Hardlink(target) => What::Same(printable(target.as_bytes())),
            Kind::File(size) => Self::content(&path, *size, content)?,
            Kind::CharDevice(_) | Kind::BlockDevice(_) | Kind::Fifo => What::Special,
        };
        let file = File {
            what,
            mode: member.entry.mode,
            uid: member.entry.uid,
            gid: member.entry.gid,
        };
        // It stays what it is when the other name goes, or comes to name something else.
        let file = match &file.what {
            What::Same(other) => self.at(other).cloned().unwrap_or(file),
            _ => file,
        };
        self.put(&path, file);
        Ok(())
    }

    fn content(path: &str, size: u64, content: &mut impl Read) -> io::Result<What> {
        let Some(kept) = Kept::of(path, size) else {
            return Ok(match Head::read(content, size)? {
                Head::Other => What::Plain,
                head => What::Program(head),
            });
        };
        let mut bytes = Vec::new();
        content.take(size).read_to_end(&mut bytes)?;
        Ok(match kept {
            Kept::Text => What::Text(String::from_utf8_lossy(&bytes).into_owned()),
            Kept::LoaderCache => What::LoaderCache(kept::directories(&bytes)),
            Kept::Packages => What::Packages(InstalledPackages::of(&bytes)),
        })
    }

    /// Puts something at a path, with the directories above it.
    pub fn put(&mut self, path: &str, file: File) {
        for (at, _) in path.match_indices('/') {
            if let Some(above) = path.get(..at) {
                self.entries.entry(above.to_owned()).or_insert(File {
                    what: What::Implied,
                    mode: 0o755,
                    uid: 0,
                    gid: 0,
                });
            }
        }
        self.entries.insert(path.to_owned(), file);
    }

    /// Whether it is small enough to be remembered.
    #[must_use]
    pub(crate) fn is_small(&self) -> bool {
        self.entries.len() <= MOST_REMEMBERED
    }

    /// Puts a layer on top.
    pub fn add(&mut self, above: &Self) {
        for path in &above.removed {
            self.entries.remove(path);
            self.empty(path);
        }
        for path in &above.emptied {
            self.empty(path);
        }
        for (path, file) in &above.entries {
            let is_directory = matches!(file.what, What::Directory | What::Implied);
            let below = self.entries.get(path).map(|file| &file.what);
            let was_directory = matches!(below, Some(What::Directory | What::Implied));
            if !is_directory && was_directory {
                self.empty(path);
            }
            // Where no entry says how the directory is, it stays as it was.
            if file.what != What::Implied || !was_directory {
                self.entries.insert(path.clone(), file.clone());
            }
        }
    }

    /// Removes all that is below a directory.
    fn empty(&mut self, directory: &str) {
        if directory.is_empty() {
            self.entries.clear();
            return;
        }
        let below = format!("{directory}/");
        let mut rest = self.entries.split_off(&below);
        // The character after a slash: what follows does not stand below.
        let mut after = rest.split_off(&format!("{directory}0"));
        self.entries.append(&mut after);
    }

    /// What stands at a real path, other names of it followed.
    #[must_use]
    pub fn at(&self, real: &str) -> Option<&File> {
        let mut file = self.entries.get(real)?;
        for _ in 0..MOST_LINKS {
            let What::Same(path) = &file.what else {
                return Some(file);
            };
            file = self.entries.get(path)?;
        }
        None
    }

    /// Whether an absolute path leads to something.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.follow(path).is_ok()
    }

    /// Whether something stands at an absolute path, be it a symlink to nothing.
    pub(crate) fn stands(&self, path: &str) -> bool {
        self.real(path).is_some_and(|real| self.at(&real).is_some())
    }

    /// Where an absolute path leads: from the root, without a slash in front; all symlinks on the
    /// way are followed, one at its end as well. The root itself is the empty path.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn follow(&self, path: &str) -> Result<String, Lost> {
        let mut last: Option<(String, String)> = None;
        let look = |here: &str, is_end: bool| {
            let Some(file) = self.at(here) else {
                let missing = format!("/{here}");
                return Err(match last.take() {
                    Some((link, target)) => Lost::Dangling {
                        link,
                        target,
                        missing,
                    },
                    None => Lost::Missing(missing),
                });
            };
            match &file.what {
                What::Link(target) => {
                    last = Some((format!("/{here}"), target.clone()));
                    Ok(Some(target.as_str()))
                }
                What::Directory | What::Implied => Ok(None),
                _ if is_end => Ok(None),
                _ => Err(Lost::NoDirectory(format!("/{here}"))),
            }
        };
        walk(path, look).map_err(|stopped| match stopped {
            Stopped::Circle => Lost::Circle(path.to_owned()),
            Stopped::By(lost) => lost,
        })
    }

    /// Where a layer's entry really stands: symlinks among its directories are followed, one at its
    /// end is not, and what is not there yet is taken as it is written. `None` when they never end.
    fn real(&self, path: &str) -> Option<String> {
        real_path(path, |path| match &self.entries.get(path)?.what {
            What::Link(target) => Some(target.as_str()),
            _ => None,
        })
    }

    /// The names of what stands in a directory, where an absolute path leads to one.
    #[must_use]
    pub fn names_in(&self, directory: &str) -> Vec<&str> {
        let Ok(real) = self.follow(directory) else {
            return Vec::new();
        };
        let prefix = if real.is_empty() {
            String::new()
        } else {
            format!("{real}/")
        };
        self.entries
            .range(prefix.clone()..)
            .map_while(|(path, _)| path.strip_prefix(&prefix))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .collect()
    }

    /// Whether an absolute path leads to a directory.
    #[must_use]
    pub fn is_directory(&self, path: &str) -> bool {
        self.follow(path).is_ok_and(|real| {
            real.is_empty()
                || self
                    .at(&real)
                    .is_some_and(|file| matches!(file.what, What::Directory | What::Implied))
        })
    }

    /// Every real path at which something stands.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The files whose text is kept, by their real paths.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &File)> {
        let files = self.entries.iter();
        files
            .filter(|(_, file)| matches!(file.what, What::Text(_)))
            .map(|(path, file)| (path.as_str(), file))
    }

    /// The text of a file that is kept.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<&str> {
        match &self.at(&self.follow(path).ok()?)?.what {
            What::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The packages that Debian's list says to be installed; `None` where there is no such list.
    #[must_use]
    pub fn packages(&self) -> Option<&InstalledPackages> {
        match &self.at(&self.follow("/var/lib/dpkg/status").ok()?)?.what {
            What::Packages(packages) => Some(packages),
            _ => None,
        }
    }

    /// The first directory on the way to a real path that `who` may not enter.
    #[must_use]
    pub fn closed(&self, real: &str, who: &Who) -> Option<String> {
        real.match_indices('/').find_map(|(at, _)| {
            let above = real.get(..at)?;
            let file = self.at(above)?;
            (!who.may(file, 1)).then(|| format!("/{above}"))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use machine_code::Libraries;

    /// Files by path: `->TARGET` a link, `/` a directory, `#!LINE` a script, `=PATH` another name,
    /// `elf:MACHINE:LOADER[:NEEDED,…[:RUNPATH[;RPATH]]]` machine code, `-` a whiteout, anything else a text that is kept.
    pub(crate) fn files(entries: &[(&str, &str)]) -> Files {
        let mut files = Files::default();
        for (path, what) in entries {
            let what = if let Some(target) = what.strip_prefix("->") {
                What::Link(target.to_owned())
            } else if *what == "/" {
                What::Directory
            } else if *what == "-" {
                files.removed.push((*path).to_owned());
                continue;
            } else if let Some(target) = what.strip_prefix('=') {
                What::Same(target.to_owned())
            } else if let Some(elf) = what.strip_prefix("elf:") {
                let (machine, rest) = elf.split_once(':').unwrap();
                let (loader, needed) = rest.split_once(':').unwrap_or((rest, ""));
                What::Program(Head::Elf {
                    machine: machine.parse().unwrap(),
                    loader: loader.to_owned(),
                    libraries: libraries(needed),
                })
            } else if what.starts_with("#!") {
                What::Program(Head::read(&mut what.as_bytes(), what.len() as u64).unwrap())
            } else {
                What::Text((*what).to_owned())
            };
            let file = File {
                what,
                mode: 0o755,
                uid: 0,
                gid: 0,
            };
            files.put(path, file);
        }
        files
    }

    fn libraries(text: &str) -> Libraries {
        let (needed, paths) = text.split_once(':').unwrap_or((text, ""));
        let (runpath, rpath) = paths.split_once(';').unwrap_or((paths, ""));
        let needed = needed.split(',').filter(|name| !name.is_empty());
        Libraries {
            needed: needed.map(str::to_owned).collect(),
            rpath: rpath.to_owned(),
            runpath: runpath.to_owned(),
        }
    }

    #[test]
    fn links_are_followed_to_their_end_and_what_is_missing_is_named() {
        let found = files(&[
            ("bin", "->usr/bin"),
            ("usr/bin/sh", "->dash"),
            ("usr/bin/dash", "x"),
            ("usr/bin/python", "->/etc/alternatives/python"),
            ("etc/alternatives/python", "->/usr/bin/python9"),
            ("a", "->b"),
            ("b", "->/a"),
        ]);
        assert_eq!(found.follow("/bin/sh").unwrap(), "usr/bin/dash");
        let lost = found.follow("/bin/python").unwrap_err().to_string();
        assert!(
            lost.contains("/etc/alternatives/python is a link to /usr/bin/python9"),
            "{lost}"
        );
        assert_eq!(found.follow("/a/x"), Err(Lost::Circle("/a/x".to_owned())));
        assert_eq!(
            found.follow("/usr/bin/dash/x"),
            Err(Lost::NoDirectory("/usr/bin/dash".to_owned()))
        );
        assert_eq!(found.names_in("/bin"), ["dash", "python", "sh"]);
        assert!(found.is_directory("/") && found.is_directory("/bin"));
    }

    #[test]
    fn layers_remove_and_replace() {
        let mut all = files(&[("opt/a", "x"), ("opt.d/b", "x"), ("etc/passwd", "x")]);
        all.add(&files(&[("opt", "->etc"), ("etc/passwd", "-")]));
        assert!(!all.has("/opt/a") && all.has("/opt.d/b") && !all.has("/etc/passwd"));
        // A directory above a file takes a link's place.
        all.add(&files(&[("opt/c", "x")]));
        assert_eq!(all.names_in("/opt"), ["c"]);
        // A directory without an entry of its own does not change the one below.
        let mut closed = files(&[("root", "/")]);
        closed.entries.get_mut("root").unwrap().mode = 0o700;
        closed.add(&files(&[("root/bin/x", "#!/bin/sh")]));
        let who = Who {
            uid: 1000,
            gids: vec![1000],
        };
        assert_eq!(closed.closed("root/bin/x", &who).unwrap(), "/root");
        assert_eq!(closed.closed("root/bin/x", &Who::default()), None);
    }

    #[test]
    fn another_name_is_what_it_names() {
        let found = files(&[
            ("bin/a", "#!/bin/sh"),
            ("bin/b", "=bin/a"),
            ("bin/c", "=bin/c"),
        ]);
        assert_eq!(found.at("bin/b"), found.at("bin/a"));
        assert_eq!(found.at("bin/c"), None);
    }
}
