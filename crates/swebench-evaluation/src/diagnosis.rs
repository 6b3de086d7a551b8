//! Why a patch does not apply: file by file and hunk by hunk, with what was found instead.

use serde::{Deserialize, Serialize};

/// A part of a patch that does not apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The file that it changes; empty where the patch as a whole is at fault.
    pub file: String,
    /// Which hunk of that file, from 1; `None` where all of the file is at fault.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hunk: Option<usize>,
    /// Why, in words.
    pub why: String,
    /// The place in the file that is most like what the hunk expects.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub nearest: Option<Nearest>,
}

/// The place most like what a hunk expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nearest {
    /// Where it begins, from 1.
    pub line: usize,
    /// How many lines are as expected.
    pub matching: usize,
    /// How many lines the hunk expects.
    pub of: usize,
    /// The first line that is not, as the hunk has it.
    pub expected: String,
    /// The same, as the file has it.
    pub found: String,
}

/// What stands at the path of a file in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing.
    Missing,
    /// These bytes.
    Bytes(Vec<u8>),
}

/// One file of a patch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct File<'a> {
    old: &'a str,
    new: &'a str,
    is_binary: bool,
    /// Whether its paths have no `a/` and `b/` in front.
    is_bare: bool,
    hunks: Vec<Hunk<'a>>,
    /// What is wrong with how it is written.
    flaw: Option<(usize, String)>,
}

/// One hunk: what it expects, and what it makes of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Hunk<'a> {
    start: usize,
    before: Vec<&'a str>,
    after: Vec<&'a str>,
}

/// No file.
const NOTHING: &str = "/dev/null";

/// Most lines that are compared in looking for a place, and most problems that are told.
const MOST_COMPARED: usize = 50_000_000;
const MOST_TOLD: usize = 20;

/// Why a patch does not apply to a tree, of which `read` gives the files by their names in the
/// patch. Empty where nothing is found: then only the tools that were tried know.
#[must_use]
pub(crate) fn diagnose(patch: &str, read: &dyn Fn(&str) -> Content) -> Vec<Problem> {
    let whole = |why: &str| {
        vec![Problem {
            file: String::new(),
            hunk: None,
            why: why.to_owned(),
            nearest: None,
        }]
    };
    let files = parse(patch);
    if files.is_empty() {
        return whole("it is no patch: no line names a file that it changes");
    }
    let mut problems: Vec<Problem> = files.iter().flat_map(|file| of_file(file, read)).collect();
    if problems.is_empty() && files.iter().all(|file| file.is_bare) {
        return whole(
            "its paths have no a/ and b/ in front, as `git diff --no-prefix` writes them; their first folder is taken for that",
        );
    }
    if problems.is_empty() && !patch.ends_with('\n') {
        return whole("its last line does not end");
    }
    problems.truncate(MOST_TOLD);
    problems
}

fn of_file(file: &File<'_>, read: &dyn Fn(&str) -> Content) -> Vec<Problem> {
    let is_new = file.old == NOTHING;
    let name = if is_new { file.new } else { file.old };
    let problem = |hunk, why: String, nearest| Problem {
        file: name.to_owned(),
        hunk,
        why,
        nearest,
    };
    let mut problems = Vec::new();
    if let Some((hunk, why)) = &file.flaw {
        problems.push(problem(Some(*hunk), why.clone(), None));
        return problems;
    }
    let content = match (read(name), is_new) {
        (Content::Missing, true) => return problems,
        (Content::Missing, false) => {
            problems.push(problem(None, missing(name, read), None));
            return problems;
        }
        (Content::Bytes(bytes), true) => {
            let text = String::from_utf8_lossy(&bytes);
            let found: Vec<&str> = text.split_inclusive('\n').map(chomp).collect();
            let same = file.hunks.first().is_some_and(|hunk| hunk.after == found);
            let why = if same {
                "the patch adds it, and it is there already, with the same content"
            } else {
                "the patch adds it, and it is there already"
            };
            problems.push(problem(None, why.to_owned(), None));
            return problems;
        }
        (Content::Bytes(bytes), false) => bytes,
    };
    if file.is_binary {
        if file.hunks.is_empty() {
            let why = "it is binary, and the patch does not hold its content";
            problems.push(problem(None, why.to_owned(), None));
        }
        return problems;
    }
    let text = String::from_utf8_lossy(&content);
    let lines: Vec<&str> = text.split_inclusive('\n').map(chomp).collect();
    for (at, hunk) in file.hunks.iter().enumerate() {
        if let Some((why, nearest)) = of_hunk(hunk, &lines) {
            problems.push(problem(Some(at + 1), why, nearest));
        }
    }
    problems
}

/// Why a file is not there: perhaps it is under a part of the name that the patch has for it.
fn missing(name: &str, read: &dyn Fn(&str) -> Content) -> String {
    let mut rest = name.trim_start_matches('/');
    while let Some((_, below)) = rest.split_once('/') {
        rest = below;
        if !rest.is_empty() && read(rest) != Content::Missing {
            return format!(
                "there is no such file, but {rest}: paths of a patch begin at the repository"
            );
        }
    }
    "there is no such file".to_owned()
}

fn of_hunk(hunk: &Hunk<'_>, lines: &[&str]) -> Option<(String, Option<Nearest>)> {
    if hunk.before.is_empty() || position(lines, &hunk.before, |a, b| a == b).is_some() {
        return None;
    }
    let line_end = |a: &str, b: &str| a.trim_end_matches('\r') == b.trim_end_matches('\r');
    if let Some(at) = position(lines, &hunk.before, line_end) {
        let in_file = lines.get(at).is_some_and(|line| line.ends_with('\r'));
        let why = if in_file {
            "the lines of the file end in CRLF, those of the patch in LF"
        } else {
            "the lines of the patch end in CRLF, those of the file in LF"
        };
        return Some((why.to_owned(), None));
    }
    let squeezed = |a: &str, b: &str| a.split_whitespace().eq(b.split_whitespace());
    if let Some(at) = position(lines, &hunk.before, squeezed) {
        let nearest = near(lines, at, &hunk.before);
        return Some(("only white space differs".to_owned(), Some(nearest)));
    }
    if position(lines, &hunk.after, |a, b| a == b).is_some() {
        let why = "the file already is as this hunk makes it";
        return Some((why.to_owned(), None));
    }
    let nearest = best(lines, hunk).map(|at| near(lines, at, &hunk.before));
    let why = match &nearest {
        None => "nothing in the file is like what it expects".to_owned(),
        Some(nearest) if nearest.line == hunk.start => {
            "the file differs from what it expects".to_owned()
        }
        Some(nearest) => format!(
            "it expects line {}, and the file has nothing the same; most alike is line {}",
            hunk.start, nearest.line
        ),
    };
    Some((why, nearest))
}

/// Where these lines stand in others.
fn position(lines: &[&str], wanted: &[&str], same: impl Fn(&str, &str) -> bool) -> Option<usize> {
    if wanted.is_empty() || lines.len().saturating_mul(wanted.len()) > MOST_COMPARED {
        return None;
    }
    lines
        .windows(wanted.len())
        .position(|window| window.iter().zip(wanted).all(|(a, b)| same(a, b)))
}

/// The place where most lines are as expected, and of those the nearest to the expected one.
fn best(lines: &[&str], hunk: &Hunk<'_>) -> Option<usize> {
    if lines.len().saturating_mul(hunk.before.len()) > MOST_COMPARED {
        return None;
    }
    (0..lines.len())
        .map(|at| (matching(lines, at, &hunk.before), at))
        .filter(|(matching, _)| *matching > 0)
        .max_by_key(|(matching, at)| {
            let distance = (at + 1).abs_diff(hunk.start);
            (*matching, usize::MAX - distance)
        })
        .map(|(_, at)| at)
}

/// How many lines from there on are as expected. Blank ones are everywhere and tell nothing.
fn matching(lines: &[&str], at: usize, wanted: &[&str]) -> usize {
    let here = lines.get(at..).unwrap_or_default();
    here.iter()
        .zip(wanted)
        .filter(|(a, b)| a == b && !a.trim().is_empty())
        .count()
}

fn near(lines: &[&str], at: usize, wanted: &[&str]) -> Nearest {
    let here = lines.get(at..).unwrap_or_default();
    let differs = wanted
        .iter()
        .enumerate()
        .find(|(offset, wanted)| here.get(*offset) != Some(wanted));
    let same = wanted
        .iter()
        .enumerate()
        .filter(|(offset, wanted)| here.get(*offset) == Some(wanted))
        .count();
    let (expected, found) = match differs {
        Some((offset, line)) => (
            (*line).to_owned(),
            here.get(offset).map_or_else(
                || "(the end of the file)".to_owned(),
                |line| (*line).to_owned(),
            ),
        ),
        None => (String::new(), String::new()),
    };
    Nearest {
        line: at + 1,
        matching: same,
        of: wanted.len(),
        expected,
        found,
    }
}

fn chomp(line: &str) -> &str {
    line.strip_suffix('\n').unwrap_or(line)
}

/// The files of a patch in unified form.
fn parse(patch: &str) -> Vec<File<'_>> {
    let mut files: Vec<File<'_>> = Vec::new();
    let mut lines = patch.split_inclusive('\n').map(chomp).peekable();
    while let Some(line) = lines.next() {
        if let Some(names) = line.strip_prefix("diff --git ") {
            let (old, new) = names.rsplit_once(' ').unwrap_or((names, names));
            files.push(File {
                old: inside(old),
                new: inside(new),
                is_bare: is_bare(old) && is_bare(new),
                ..File::default()
            });
        } else if let Some(name) = line.strip_prefix("--- ")
            && let Some(new) = lines.peek().and_then(|line| line.strip_prefix("+++ "))
        {
            lines.next();
            let names = (inside(name), inside(new));
            let is_bare = is_bare(name) && is_bare(new);
            match files.last_mut() {
                Some(file) if file.hunks.is_empty() && file.flaw.is_none() => {
                    (file.old, file.new) = names;
                    file.is_bare = is_bare;
                }
                _ => files.push(File {
                    old: names.0,
                    new: names.1,
                    is_bare,
                    ..File::default()
                }),
            }
        } else if let Some(file) = files.last_mut() {
            if line.starts_with("new file mode ") {
                file.old = NOTHING;
            } else if line.starts_with("Binary files ") || line == "GIT binary patch" {
                file.is_binary = true;
                if line == "GIT binary patch" {
                    file.hunks.push(Hunk::default());
                }
            } else if line.starts_with("@@ ") && file.flaw.is_none() {
                match hunk(line, &mut lines) {
                    Ok(hunk) => file.hunks.push(hunk),
                    Err(why) => file.flaw = Some((file.hunks.len() + 1, why)),
                }
            }
        }
    }
    files
}

/// Whether a path stands without what git puts in front.
fn is_bare(name: &str) -> bool {
    let name = name.trim_start_matches('"');
    !["a/", "b/", NOTHING]
        .iter()
        .any(|begin| name.starts_with(begin))
}

/// A file's name in the tree.
fn inside(name: &str) -> &str {
    let name = name.split_once('\t').map_or(name, |(name, _)| name);
    let name = name.trim_end().trim_matches('"');
    name.strip_prefix("a/")
        .or_else(|| name.strip_prefix("b/"))
        .unwrap_or(name)
}

fn hunk<'a>(
    heading: &str,
    lines: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> Result<Hunk<'a>, String> {
    let unreadable = || format!("its heading {heading:?} cannot be read");
    let (ranges, _) = heading
        .strip_prefix("@@ -")
        .and_then(|rest| rest.split_once(" @@"))
        .ok_or_else(unreadable)?;
    let (old, new) = ranges.split_once(" +").ok_or_else(unreadable)?;
    let range = |text: &str| -> Option<(usize, usize)> {
        match text.split_once(',') {
            Some((start, length)) => Some((start.parse().ok()?, length.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    let (start, old) = range(old).ok_or_else(unreadable)?;
    let (_, new) = range(new).ok_or_else(unreadable)?;
    let mut hunk = Hunk {
        start,
        ..Hunk::default()
    };
    while hunk.before.len() < old || hunk.after.len() < new {
        let Some(line) = lines.peek() else {
            return Err(format!(
                "it ends early: its heading promises {old} old and {new} new lines, it has {} and {}",
                hunk.before.len(),
                hunk.after.len()
            ));
        };
        match line.split_at_checked(1) {
            Some(("-", text)) => hunk.before.push(text),
            Some(("+", text)) => hunk.after.push(text),
            Some((" ", text)) => {
                hunk.before.push(text);
                hunk.after.push(text);
            }
            Some(("\\", _)) => {}
            // An empty line stands for a blank one that lost its leading space.
            None => {
                hunk.before.push("");
                hunk.after.push("");
            }
            _ => {
                return Err(format!(
                    "its line {:?} begins with none of ' ', '+', '-'; its heading promises {old} old and {new} new lines, it has {} and {} until there",
                    line.chars().take(80).collect::<String>(),
                    hunk.before.len(),
                    hunk.after.len()
                ));
            }
        }
        lines.next();
    }
    Ok(hunk)
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&*self.file, self.hunk) {
            ("", _) => write!(f, "the patch: {}", self.why)?,
            (file, None) => write!(f, "{file}: {}", self.why)?,
            (file, Some(hunk)) => write!(f, "{file}, hunk {hunk}: {}", self.why)?,
        }
        if let Some(near) = &self.nearest {
            write!(
                f,
                " (line {}: {} of {} lines are as expected; expected {:?}, found {:?})",
                near.line, near.matching, near.of, near.expected, near.found
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "one\ntwo\nthree\nfour\nfive\nsix\n";

    fn tree(name: &str) -> Content {
        match name {
            "a.txt" => Content::Bytes(FILE.as_bytes().to_vec()),
            "dos.txt" => Content::Bytes(FILE.replace('\n', "\r\n").into_bytes()),
            _ => Content::Missing,
        }
    }

    fn said(patch: &str) -> Vec<String> {
        diagnose(patch, &tree)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn hunk(file: &str, body: &str) -> String {
        format!("diff --git a/{file} b/{file}\n--- a/{file}\n+++ b/{file}\n{body}")
    }

    #[test]
    fn every_reason_is_told_from_the_others() {
        for (patch, expected) in [
            (
                hunk("a.txt", "@@ -2,3 +2,3 @@\n two\n-tree\n+3\n four\n"),
                r#"a.txt, hunk 1: the file differs from what it expects (line 2: 2 of 3 lines are as expected; expected "tree", found "three")"#,
            ),
            (
                hunk("a.txt", "@@ -40,3 +40,3 @@\n four\n-5\n+V\n six\n"),
                r#"a.txt, hunk 1: it expects line 40, and the file has nothing the same; most alike is line 4 (line 4: 2 of 3 lines are as expected; expected "5", found "five")"#,
            ),
            (
                hunk("a.txt", "@@ -1,2 +1,2 @@\n-x\n+y\n z\n"),
                "a.txt, hunk 1: nothing in the file is like what it expects",
            ),
            (
                hunk("a.txt", "@@ -1,2 +1,2 @@\n-1\n+one\n two\n"),
                "a.txt, hunk 1: the file already is as this hunk makes it",
            ),
            (
                hunk("a.txt", "@@ -1,2 +1,2 @@\n one\n-  two\n+2\n"),
                r#"a.txt, hunk 1: only white space differs (line 1: 1 of 2 lines are as expected; expected "  two", found "two")"#,
            ),
            (
                hunk("dos.txt", "@@ -1,2 +1,2 @@\n one\n-two\n+2\n"),
                "dos.txt, hunk 1: the lines of the file end in CRLF, those of the patch in LF",
            ),
            (
                hunk("a.txt", "@@ -1,2 +1,2 @@\n one\r\n-two\r\n+2\r\n"),
                "a.txt, hunk 1: the lines of the patch end in CRLF, those of the file in LF",
            ),
            (
                hunk("b.txt", "@@ -1 +1 @@\n-a\n+b\n"),
                "b.txt: there is no such file",
            ),
            (
                "diff --git a/a.txt b/a.txt\nnew file mode 100644\n--- /dev/null\n+++ b/a.txt\n@@ -0,0 +1 @@\n+x\n".to_owned(),
                "a.txt: the patch adds it, and it is there already",
            ),
            (
                hunk("a.txt", "@@ -1,3 +1,2 @@\n one\n-two\n"),
                "a.txt, hunk 1: it ends early: its heading promises 3 old and 2 new lines, it has 2 and 1",
            ),
            (
                hunk("a.txt", "@@ -1,3 +1,3 @@\n one\n-two\n+2\nthree\n"),
                "a.txt, hunk 1: its line \"three\" begins with none of ' ', '+', '-'; its heading promises 3 old and 3 new lines, it has 2 and 2 until there",
            ),
            (
                hunk("a.txt", "@@ one @@\n"),
                "a.txt, hunk 1: its heading \"@@ one @@\" cannot be read",
            ),
            (
                "diff --git a/a.txt b/a.txt\nBinary files a/a.txt and b/a.txt differ\n".to_owned(),
                "a.txt: it is binary, and the patch does not hold its content",
            ),
            (
                hunk("testbed/a.txt", "@@ -1,2 +1,2 @@\n-x\n+y\n z\n"),
                "testbed/a.txt: there is no such file, but a.txt: paths of a patch begin at the repository",
            ),
            (
                "--- /testbed/a.txt\n+++ /testbed/a.txt\n@@ -1,2 +1,2 @@\n-x\n+y\n z\n".to_owned(),
                "/testbed/a.txt: there is no such file, but a.txt: paths of a patch begin at the repository",
            ),
            (
                "--- a.txt\n+++ a.txt\n@@ -1,2 +1,2 @@\n-one\n+1\n two\n".to_owned(),
                "the patch: its paths have no a/ and b/ in front, as `git diff --no-prefix` writes them; their first folder is taken for that",
            ),
            (
                "fix it\n".to_owned(),
                "the patch: it is no patch: no line names a file that it changes",
            ),
            (
                hunk("a.txt", "@@ -1,2 +1,2 @@\n-one\n+1\n two"),
                "the patch: its last line does not end",
            ),
        ] {
            assert_eq!(said(&patch), [expected], "{patch}");
        }
    }

    #[test]
    fn only_the_hunks_that_do_not_fit_are_named() {
        let patch = hunk(
            "a.txt",
            "@@ -1,2 +1,2 @@\n-one\n+1\n two\n@@ -5,2 +5,2 @@\n five\n-seven\n+7\n",
        );
        let problems = diagnose(&patch, &tree);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].hunk, Some(2));
        let fits = hunk("a.txt", "@@ -1,2 +1,2 @@\n-one\n+1\n two\n");
        assert!(diagnose(&fits, &tree).is_empty());
    }
}
