//! The paths that a patch names, and those among them that no patch may have.
//!
//! git refuses to change what lies in `.git`, outside of the work tree or behind a symlink
//! (`verify_path` of its `read-cache.c`, `path_is_beyond_symlink` of its `apply.c`). patch, the last
//! of the programs that are tried, changes at least the first: a `.git/config` can name programs
//! that git then runs. So it is looked for in whatever git or patch might take for a file's name,
//! before either is started. Where the two read a patch differently, every line is looked at that
//! any of them could read as a name.

use std::fmt;

/// How lines begin that name a file; what follows is a name, in git's case perhaps in quotes.
const KEYWORDS: [&str; 8] = [
    "Index:",
    DIFF,
    "rename from ",
    "rename to ",
    "rename old ",
    "rename new ",
    "copy from ",
    "copy to ",
];
/// How what git says of a file begins.
const DIFF: &str = "diff --git ";
/// How lines begin that name a file where white space follows.
const MARKS: [&str; 3] = ["---", "+++", "***"];
/// What stands for no file.
const NOTHING: &str = "/dev/null";
/// The mode of a symlink in a patch of git's.
const SYMLINK: &str = "120000";

/// A path that no patch may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPath {
    /// The path, as the patch names it.
    pub path: String,
    /// Why it may not be changed.
    pub why: RefusedWhy,
}

/// Why a path may not be changed by a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedWhy {
    /// It is git's own, under its name or one that some file system takes for it.
    OfGit,
    /// It begins at the root.
    Absolute,
    /// It leads upwards.
    Upwards,
    /// It leads through a symlink that the patch makes.
    BehindSymlink,
}

impl fmt::Display for RefusedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

impl fmt::Display for RefusedWhy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfGit => "it belongs to git itself, which refuses patches to it",
            Self::Absolute => "its path is absolute, and a patch may change only the repository",
            Self::Upwards => "its path leads upwards with `..`",
            Self::BehindSymlink => "it lies behind a symlink that the patch makes",
        })
    }
}

/// The first path of a patch that none may change; `None` where there is no such path.
#[must_use]
pub fn refused_path(patch: &str) -> Option<RefusedPath> {
    let lines: Vec<&str> = patch
        .strip_suffix('\n')
        .unwrap_or(patch)
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .collect();
    let lines = outside_of_hunks(&lines).unwrap_or(lines);
    let mut files = Files::default();
    for line in &lines {
        let line = line.trim_start_matches(INDENT);
        let Some((keyword, rest)) = keyword(line) else {
            files.note(line);
            continue;
        };
        if keyword == DIFF {
            files.begin();
        }
        for name in names(keyword, rest) {
            if let Some(why) = fault(&name) {
                let path = String::from_utf8_lossy(&name).into_owned();
                return Some(RefusedPath { path, why });
            }
            files.add(keyword, &name);
        }
    }
    files.behind_symlink().map(|path| RefusedPath {
        path,
        why: RefusedWhy::BehindSymlink,
    })
}

/// What patch takes for indentation.
const INDENT: [char; 3] = [' ', '\t', 'X'];

/// The lines that are no part of a hunk in unified form; `None` where there is anything that may
/// be read in another way.
fn outside_of_hunks<'a>(lines: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut outside = Vec::new();
    let mut lines = lines.iter().copied();
    while let Some(line) = lines.next() {
        if line.starts_with("@@ -") {
            let (mut old, mut new) = counts(line)?;
            while old > 0 || new > 0 {
                let (before, after) = match lines.next()?.bytes().next() {
                    Some(b' ') | None => (1, 1),
                    Some(b'-') => (1, 0),
                    Some(b'+') => (0, 1),
                    Some(b'\\') => (0, 0),
                    Some(_) => return None,
                };
                old = old.checked_sub(before)?;
                new = new.checked_sub(after)?;
            }
            continue;
        }
        let text = line.trim_start_matches(INDENT);
        if text.starts_with("@@ -") || text.starts_with("*** ") || text.starts_with("******") {
            return None;
        }
        if is_command(text) {
            return None;
        }
        outside.push(line);
    }
    Some(outside)
}

/// How many lines a hunk has before and after.
fn counts(heading: &str) -> Option<(u32, u32)> {
    let (ranges, _) = heading.strip_prefix("@@ -")?.split_once(" @@")?;
    let (old, new) = ranges.split_once(" +")?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let count = |range: &str| match range.split_once(',') {
        Some((start, count)) => number(start).and(number(count)),
        None => number(range).map(|_| 1),
    };
    Some((count(old)?, count(new)?))
}

/// Whether a line begins a hunk of diff's normal form, or of an ed script.
fn is_command(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
    rest.len() < line.len() && rest.starts_with(['a', 'c', 'd', 'i', 's'])
}

/// What a line names a file by, and what stands behind it.
fn keyword(line: &str) -> Option<(&'static str, &str)> {
    for keyword in KEYWORDS {
        if let Some(rest) = line.strip_prefix(keyword) {
            return Some((keyword, rest));
        }
    }
    for mark in MARKS {
        if let Some(rest) = line.strip_prefix(mark)
            && rest.starts_with(|c: char| c.is_ascii_whitespace())
        {
            return Some((mark, rest));
        }
    }
    None
}

/// The names in the rest of a line: one, or of `diff --git` two.
fn names(keyword: &str, rest: &str) -> Vec<Vec<u8>> {
    let rest = rest.trim_start();
    if let Some((name, rest)) = quoted(rest) {
        let mut found = vec![name];
        if keyword == DIFF {
            found.extend(names("", rest));
        }
        return found;
    }
    if keyword == DIFF {
        // The second may be in quotes, or the same as the first but for its prefix.
        if let Some((first, second)) = rest.split_once(" \"") {
            let second = quoted(&format!("\"{second}")).map(|(name, _)| name);
            return std::iter::once(first.into()).chain(second).collect();
        }
        let middle = rest.len() / 2;
        if let Some((first, second)) = rest.split_at_checked(middle)
            && let Some(second) = second.strip_prefix(' ')
        {
            return vec![first.into(), second.into()];
        }
        // Differing names may have spaces in them: every word is looked at.
        return rest.split(' ').map(Into::into).collect();
    }
    // Behind a tab stands a date.
    let name = rest.split('\t').next().unwrap_or(rest);
    vec![name.into()]
}

/// A name in quotes as C has them, and what stands behind it.
fn quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let text = text.strip_prefix('"')?;
    let mut name = Vec::new();
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((name, text.get(at + 1..)?)),
            b'\\' => match bytes.next()?.1 {
                first @ b'0'..=b'7' => {
                    let mut value = u32::from(first - b'0');
                    for _ in 0..2 {
                        let digit = bytes.next_if(|(_, next)| matches!(next, b'0'..=b'7'));
                        value = value * 8 + digit.map_or(0, |(_, digit)| u32::from(digit - b'0'));
                        if digit.is_none() {
                            value /= 8;
                        }
                    }
                    name.push(u8::try_from(value & 0xff).unwrap_or_default());
                }
                b'a' => name.push(7),
                b'b' => name.push(8),
                b't' => name.push(b'\t'),
                b'n' => name.push(b'\n'),
                b'v' => name.push(11),
                b'f' => name.push(12),
                b'r' => name.push(b'\r'),
                other => name.push(other),
            },
            byte => name.push(byte),
        }
    }
    None
}

/// Why a name may not be a patch's, whether or not its first component is taken off.
fn fault(name: &[u8]) -> Option<RefusedWhy> {
    let name = String::from_utf8_lossy(name);
    let words = || name.split(|c: char| c == '/' || c.is_whitespace());
    if words().flat_map(|word| word.split('\\')).any(is_dot_git) {
        return Some(RefusedWhy::OfGit);
    }
    if words().any(|word| word == "..") {
        return Some(RefusedWhy::Upwards);
    }
    let is_nothing = name.split_whitespace().next() == Some(NOTHING);
    let below = name.split_once('/').map_or("", |(_, below)| below);
    let is_absolute = name.starts_with('/') || below.starts_with('/');
    (is_absolute && !is_nothing).then_some(RefusedWhy::Absolute)
}

/// Whether a component of a path is `.git` to some file system: NTFS takes no notice of dots at the
/// end and of what follows a colon, and has a short name for it (git's `is_ntfs_dotgit`); HFS+ takes
/// none of some characters (its `is_hfs_dotgit`).
fn is_dot_git(component: &str) -> bool {
    let seen: String = component
        .chars()
        .filter(|c| {
            !matches!(
                c,
                '\u{200c}'..='\u{200f}'
                    | '\u{202a}'..='\u{202e}'
                    | '\u{206a}'..='\u{206f}'
                    | '\u{feff}'
            )
        })
        .map(|c| c.to_ascii_lowercase())
        .collect();
    [".git", "git~1"].into_iter().any(|name| {
        seen.strip_prefix(name).is_some_and(|rest| {
            let rest = rest.trim_start_matches('.');
            rest.is_empty() || rest.starts_with(':') || rest.starts_with('\0')
        })
    })
}

/// The files of a patch, to find those behind symlinks that it makes.
#[derive(Default)]
struct Files {
    /// All of their paths.
    paths: Vec<Vec<u8>>,
    /// Those of the file that the lines are about.
    current: Vec<Vec<u8>>,
    is_symlink: bool,
    symlinks: std::collections::HashSet<Vec<u8>>,
}

impl Files {
    /// The lines are about another file from here on.
    fn begin(&mut self) {
        self.current.clear();
        self.is_symlink = false;
    }

    fn add(&mut self, keyword: &str, name: &[u8]) {
        let has_prefix = !keyword.starts_with("rename") && !keyword.starts_with("copy");
        let path = match name.iter().position(|byte| *byte == b'/') {
            Some(at) if has_prefix => name.get(at + 1..).unwrap_or_default(),
            _ => name,
        };
        let path: Vec<u8> = path.strip_suffix(b"/").unwrap_or(path).to_vec();
        if self.is_symlink {
            self.symlinks.insert(path.clone());
        }
        self.current.push(path.clone());
        self.paths.push(path);
    }

    /// Takes notice of a mode.
    fn note(&mut self, line: &str) {
        let of_mode = ["new file mode ", "new mode ", "index "];
        let is_of_mode = of_mode.iter().any(|start| line.starts_with(start));
        if is_of_mode && line.trim_end().ends_with(SYMLINK) {
            self.is_symlink = true;
            self.symlinks.extend(self.current.iter().cloned());
        }
    }

    fn behind_symlink(&self) -> Option<String> {
        let behind = self.paths.iter().find(|path| {
            let mut ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            ends.any(|(end, _)| {
                path.get(..end)
                    .is_some_and(|way| self.symlinks.contains(way))
            })
        });
        behind.map(|path| String::from_utf8_lossy(path).into_owned())
    }
}

#[cfg(test)]
mod tests;
