//! First lines of scripts: `#!/usr/bin/env node` becomes `#!/openhands/tools/bin/node`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::place::Prefix;
use ohoci_layer::path::printable;
use ohoci_layer::{LayerPath, Tree};

/// Longest first line of a script that Linux reads, with its newline (`BINPRM_BUF_SIZE`).
const LONGEST_LINE: usize = 256;

/// The directories below the prefix that programs are taken from, the first first.
const DIRECTORIES: [&str; 2] = ["tools/bin", "micromamba/bin"];

/// The programs that scripts below the prefix can name, whichever layer they are in.
#[derive(Debug, Default)]
pub struct Programs {
    paths: Arc<BTreeSet<LayerPath>>,
    asked: Mutex<BTreeMap<String, Option<String>>>,
}

impl Programs {
    /// The programs in these trees, which are relative to the prefix.
    pub fn of<'a>(trees: impl IntoIterator<Item = &'a Tree>) -> Self {
        let entries = trees.into_iter().flat_map(Tree::iter);
        let files = entries.filter(|(_, entry)| !entry.is_directory());
        Self::among(files.map(|(path, _)| path))
    }

    /// The programs among these files, whose paths are relative to the prefix.
    pub fn among<'a>(files: impl IntoIterator<Item = &'a LayerPath>) -> Self {
        let is_program = |path: &LayerPath| {
            DIRECTORIES.iter().any(|directory| {
                let name = path.as_bytes().strip_prefix(directory.as_bytes());
                name.is_some_and(|rest| rest.starts_with(b"/"))
            })
        };
        let paths = files.into_iter().filter(|path| is_program(path)).cloned();
        Self {
            paths: Arc::new(paths.collect()),
            asked: Mutex::default(),
        }
    }

    /// The same programs, of which none has been asked for yet.
    #[must_use]
    pub(crate) fn unasked(&self) -> Self {
        Self {
            paths: Arc::clone(&self.paths),
            asked: Mutex::default(),
        }
    }

    /// The names that have been asked for, and where each is, below the prefix.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, Option<String>> {
        self.asked.lock().clone()
    }

    /// Whether these names would be answered like this.
    #[must_use]
    pub fn still(&self, asked: &BTreeMap<String, Option<String>>) -> bool {
        asked.iter().all(|(name, at)| self.look(name) == *at)
    }

    fn find(&self, name: &str) -> Option<String> {
        let found = self.look(name);
        self.asked.lock().insert(name.to_owned(), found.clone());
        found
    }

    /// Where a program that scripts call `name` is, below the prefix.
    ///
    /// `sh` is `dash` if it is there: Debian's maintainer script would have made that link.
    fn look(&self, name: &str) -> Option<String> {
        let names = match name {
            "sh" => vec!["dash", "sh"],
            "python" => vec!["python", "python3"],
            name => vec![name],
        };
        let mut candidates = names
            .into_iter()
            .flat_map(|name| DIRECTORIES.map(|directory| format!("{directory}/{name}")));
        candidates.find(|path| self.paths.contains(path.as_bytes()))
    }
}

/// What is to be done about a script's first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FirstLine {
    /// Nothing: it is right, or it is no script.
    Fine,
    /// This line goes there instead of the first `old` bytes, both without the newline.
    Replace { old: usize, new: Vec<u8> },
    /// It names a program that no layer has.
    Missing(String),
}

/// Looks at the beginning of an executable file.
pub(super) fn first_line(start: &[u8], prefix: &Prefix, programs: &Programs) -> FirstLine {
    let Some(line) = start.strip_prefix(b"#!") else {
        return FirstLine::Fine;
    };
    let end = line
        .iter()
        .take(LONGEST_LINE)
        .position(|byte| *byte == b'\n')
        .unwrap_or(line.len().min(LONGEST_LINE));
    let line = line.get(..end).unwrap_or_default();
    // A carriage return would be part of the program's name.
    let Some(text) = std::str::from_utf8(line).ok().map(str::trim) else {
        return FirstLine::Missing(printable(line));
    };
    let (program, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let inside = |path: &str| {
        LayerPath::parse(path.as_bytes()).is_ok_and(|path| path.is_within(prefix.path()))
    };
    if program.is_empty() || inside(program) {
        return FirstLine::Fine;
    }
    let name = program.rsplit('/').next().unwrap_or_default();
    let absolute = |name: &str| programs.find(name).map(|path| format!("{prefix}/{path}"));
    let rest = rest.trim();
    let new = match (name, rest) {
        ("env", "") => absolute("env"),
        ("env", arguments) => env(arguments, &absolute),
        (name, "") => absolute(name),
        (name, argument) => absolute(name).map(|path| format!("{path} {argument}")),
    };
    match new {
        Some(new) if new.len() + 3 <= LONGEST_LINE => FirstLine::Replace {
            old: 2 + end,
            new: format!("#!{new}").into_bytes(),
        },
        _ => FirstLine::Missing(printable(text.as_bytes())),
    }
}

/// What stands for `env ARGUMENTS`. Without `-S`, all arguments are one to the kernel, so there
/// can be no more than the program's name.
fn env(arguments: &str, absolute: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let split = arguments.strip_prefix("-S").map(str::trim_start);
    let mut words = split.unwrap_or(arguments).split_ascii_whitespace();
    let program = words.next()?;
    if program.starts_with('-') || program.contains('=') {
        return None;
    }
    let program = absolute(program.rsplit('/').next()?)?;
    let rest: Vec<&str> = words.collect();
    match rest.as_slice() {
        [] => Some(program),
        _ if split.is_none() => None,
        [argument] if !argument.contains(['"', '\'', '\\', '$']) => {
            Some(format!("{program} {argument}"))
        }
        _ => Some(format!(
            "{} -S {program} {}",
            absolute("env")?,
            rest.join(" ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::{Content, Entry, Kind, Rules};

    fn programs(names: &[&str]) -> Programs {
        let mut tree = Tree::new();
        for name in names {
            let path = LayerPath::parse(name.as_bytes()).unwrap();
            let file = Entry::new(Kind::File(Content::Memory(Default::default())), 0o755);
            tree.insert(path, file, Rules::Strict).unwrap();
        }
        Programs::of([&tree])
    }

    #[test]
    fn interpreters_become_the_prefixs() {
        let programs = programs(&[
            "tools/bin/dash",
            "tools/bin/bash",
            "tools/bin/node",
            "tools/bin/env",
            "micromamba/bin/python3",
        ]);
        for (line, expected) in [
            ("#!/bin/sh\n", "#!/openhands/tools/bin/dash\n"),
            ("#! /bin/sh -e\nx", "#!/openhands/tools/bin/dash -e\nx"),
            ("#!/usr/bin/env node\n", "#!/openhands/tools/bin/node\n"),
            ("#!/usr/bin/env bash", "#!/openhands/tools/bin/bash"),
            (
                "#!/usr/bin/env python\n",
                "#!/openhands/micromamba/bin/python3\n",
            ),
            (
                "#!/usr/bin/python3 -E\n",
                "#!/openhands/micromamba/bin/python3 -E\n",
            ),
            (
                "#!/usr/bin/env -S node --a\n",
                "#!/openhands/tools/bin/node --a\n",
            ),
            (
                "#!/usr/bin/env -S node --a --b\n",
                "#!/openhands/tools/bin/env -S /openhands/tools/bin/node --a --b\n",
            ),
            ("#!/usr/local/bin/bash\r\n", "#!/openhands/tools/bin/bash\n"),
        ] {
            let found = first_line(line.as_bytes(), &Prefix::default(), &programs);
            let FirstLine::Replace { old, new } = found else {
                panic!("{line}: {found:?}");
            };
            let text = [new.as_slice(), &line.as_bytes()[old..]].concat();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
        for line in ["#!/openhands/bin/x\n", "#!\n", "\x7fELF", "", "#include"] {
            let found = first_line(line.as_bytes(), &Prefix::default(), &programs);
            assert_eq!(found, FirstLine::Fine, "{line}");
        }
    }

    #[test]
    fn what_no_layer_has_is_told_and_left() {
        let programs = programs(&["tools/bin/env"]);
        for line in [
            "#!/usr/bin/perl -w",
            "#!/usr/bin/env ruby",
            "#!/usr/bin/env A=b env",
            "#!/usr/bin/env env x",
            "#!\u{e9}\u{e9}",
        ] {
            let found = first_line(line.as_bytes(), &Prefix::default(), &programs);
            assert!(matches!(found, FirstLine::Missing(_)), "{line}: {found:?}");
        }
    }
}
