//! What of the layers an interpreter is shown, which is all that its work can depend on.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use super::{BytecodeError, Job};
use crate::archive::selection::add_directories;
use crate::files::Files;
use crate::relocate::Elf;
use ohoci_layer::{Content, Kind, LayerPath, Rules, Tree};

/// The directory that the prefix's loader finds libraries in, below the prefix.
const LIBRARIES: &str = "lib";

/// How much of a script's first line names its interpreter, in bytes (Linux's `BINPRM_BUF_SIZE`).
const FIRST_LINE: usize = 256;

/// What an interpreter is shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// While it imports: its environment, its installation, and what the recipe names besides.
    pub importing: Tree,
    /// While it compiles: its installation.
    pub compiling: Tree,
    /// The interpreter in its environment.
    pub python: LayerPath,
    /// The program that this leads to, in its installation.
    pub program: LayerPath,
}

/// What the interpreter of a job is shown. To what is meant belongs all that it leads to: the
/// targets of links, the libraries and loaders of programs, the interpreters of scripts.
///
/// # Errors
/// When there is no interpreter, or a file of a layer cannot be read.
pub(super) fn shown(job: &Job<'_>) -> Result<Shown, BytecodeError> {
    let files = Files::of(job.layers.iter().copied());
    let python = joined(job.prefix, &job.table.python)?;
    let program = files
        .resolve_file(&python)
        .ok_or_else(|| BytecodeError::Missing {
            python: python.to_string(),
        })?;
    let installation = home_of(&program, job.prefix);
    let homes = [home_of(&python, job.prefix), installation.clone()];
    let importing = |path: &LayerPath| {
        homes.iter().any(|home| path.is_within(home))
            || below(path, job.prefix)
                .is_some_and(|path| job.table.shown.iter().any(|of| of.matches(&path)))
    };
    let view = View {
        files: &files,
        libraries: joined(job.prefix, LIBRARIES)?,
    };
    Ok(Shown {
        importing: view.tree(importing)?,
        compiling: view.tree(|path| path.is_within(&installation))?,
        python,
        program,
    })
}

fn joined(prefix: &LayerPath, below: &str) -> Result<LayerPath, BytecodeError> {
    LayerPath::parse(below.as_bytes())
        .and_then(|path| prefix.join(&path))
        .map_err(|source| BytecodeError::Path {
            path: below.to_owned(),
            source,
        })
}

/// The directory that a program in a `bin` belongs to, at most the prefix.
fn home_of(program: &LayerPath, prefix: &LayerPath) -> LayerPath {
    let home = program.parent().and_then(|bin| bin.parent());
    let home = home.filter(|home| home.is_within(prefix));
    home.unwrap_or_else(|| prefix.clone())
}

fn below(path: &LayerPath, prefix: &LayerPath) -> Option<LayerPath> {
    let below = path.as_bytes().strip_prefix(prefix.as_bytes())?;
    LayerPath::parse(below.strip_prefix(b"/")?).ok()
}

struct View<'a> {
    files: &'a Files<'a>,
    /// Where libraries are.
    libraries: LayerPath,
}

impl View<'_> {
    /// What is meant, and all that it leads to.
    fn tree(&self, is_meant: impl Fn(&LayerPath) -> bool) -> Result<Tree, BytecodeError> {
        let all = self.files.iter().map(|(path, _)| path);
        let mut open: Vec<LayerPath> = all.filter(|path| is_meant(path)).cloned().collect();
        let mut found = BTreeSet::new();
        // Links that others lead through.
        let mut passed = BTreeSet::new();
        let failed = BytecodeError::io("look through the layers");
        while let Some(path) = open.pop() {
            let Some(entry) = self.files.get(&path) else {
                continue;
            };
            if !found.insert(path.clone()) {
                continue;
            }
            match &entry.kind {
                Kind::Symlink(_) => self.follow(&path, &mut open, &mut passed),
                Kind::Hardlink(target) => open.push(target.clone()),
                Kind::File(content) => {
                    for path in self.named_by(content).map_err(&failed)? {
                        self.follow(&path, &mut open, &mut passed);
                    }
                }
                _ => {}
            }
        }
        let mut tree = Tree::new();
        found.append(&mut passed);
        for path in found {
            if let Some(entry) = self.files.get(&path) {
                add_directories(&mut tree, &path)?;
                tree.insert(path, entry.clone(), Rules::Foreign)?;
            }
        }
        Ok(tree)
    }

    /// Adds what a path leads to, and all that is below it if that is a directory.
    fn follow(
        &self,
        path: &LayerPath,
        open: &mut Vec<LayerPath>,
        passed: &mut BTreeSet<LayerPath>,
    ) {
        let end = self.files.resolve_by(path, |link| {
            passed.insert(link.clone());
        });
        let Some(end) = end else {
            return;
        };
        if self
            .files
            .get(&end)
            .is_some_and(|entry| !entry.is_directory())
        {
            open.push(end);
            return;
        }
        let all = self.files.iter().map(|(path, _)| path);
        open.extend(all.filter(|path| path.is_within(&end)).cloned());
    }

    /// What a program, a library or a script needs to run. Data needs nothing, and what is no whole
    /// program is taken for data.
    fn named_by(&self, content: &Content) -> io::Result<Vec<LayerPath>> {
        let mut reader = content.open()?;
        let mut bytes = Vec::new();
        let first = FIRST_LINE as u64;
        reader.by_ref().take(first).read_to_end(&mut bytes)?;
        if let Some(line) = bytes.strip_prefix(b"#!") {
            let line = line.split(|byte| *byte == b'\n').next();
            let line = line.unwrap_or_default().trim_ascii();
            let program = line.split(u8::is_ascii_whitespace).next();
            let program = program.and_then(|program| LayerPath::parse(program).ok());
            return Ok(program.into_iter().collect());
        }
        if !Elf::has_magic(&bytes) {
            return Ok(Vec::new());
        }
        reader.read_to_end(&mut bytes)?;
        let Ok(elf) = Elf::parse(&bytes) else {
            return Ok(Vec::new());
        };
        let mut named = Vec::new();
        if let Ok(Some((interpreter, _))) = elf.interpreter() {
            named.extend(LayerPath::parse(interpreter.bytes).ok());
        }
        if let Ok(Some(dynamic)) = elf.dynamic() {
            named.extend(dynamic.needed.into_iter().filter_map(|name| {
                let name = LayerPath::parse(name).ok()?;
                self.libraries.join(&name).ok()
            }));
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::recipe::Bytecode;
    use crate::relocate::testing::ElfBuilder;
    use ohoci_layer::Entry;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn tree(entries: Vec<(&str, Kind)>) -> Tree {
        let mut tree = Tree::new();
        for (at, kind) in entries {
            tree.insert(path(at), Entry::new(kind, 0o755), Rules::Strict)
                .unwrap();
        }
        tree
    }

    fn file(content: impl Into<bytes::Bytes>) -> Kind {
        Kind::File(Content::Memory(content.into()))
    }

    fn link(target: &str) -> Kind {
        Kind::Symlink(target.as_bytes().to_vec())
    }

    fn files(tree: &Tree) -> Vec<String> {
        let files = tree.iter().filter(|(_, entry)| !entry.is_directory());
        files.map(|(path, _)| path.to_string()).collect()
    }

    fn of(python: &str, more: &str, layers: &[&Tree]) -> Result<Shown, BytecodeError> {
        let table = Bytecode {
            python: python.to_owned(),
            imports: Vec::new(),
            shown: vec![more.parse().unwrap()],
        };
        shown(&Job {
            table: &table,
            environment: &BTreeMap::new(),
            prefix: &path("oh"),
            layers,
        })
    }

    #[test]
    fn an_interpreter_sees_its_environment_its_installation_and_what_these_name() {
        let lower = tree(vec![
            ("oh/bin/oh-git", file("#!/oh/tools/bin/sh")),
            ("oh/tools/bin/sh", file("sh")),
            ("oh/etc/bundle", file("certificates")),
            ("oh/etc/site.py", file("site")),
            ("oh/s", link("etc")),
            ("oh/lib/ld", file("loader")),
            ("oh/lib/libm.so.6", link("libm.so.6.1")),
            ("oh/lib/libm.so.6.1", file("m")),
            ("oh/lib/libother.so", file("other")),
        ]);
        let program = ElfBuilder::amd64()
            .interpreter("/oh/lib/ld")
            .needed(&["libm.so.6", "libgone.so"]);
        let upper = tree(vec![
            ("oh/python/bin/python3", file(program.build())),
            ("oh/python/lib/site.py", link("/oh/s/site.py")),
            ("oh/env/bin/python", link("../../python/bin/python3")),
            ("oh/env/lib/a.py", file("a")),
            ("oh/env/lib/bundle", link("../../s/bundle")),
            ("oh/code/b.py", file("b")),
            ("oh/code/c.txt", file("c")),
        ]);
        let shown = of("env/bin/python", "code/*.py", &[&lower, &upper]).unwrap();
        assert_eq!(shown.python, path("oh/env/bin/python"));
        assert_eq!(shown.program, path("oh/python/bin/python3"));
        let installation = [
            "/oh/lib/ld",
            "/oh/lib/libm.so.6",
            "/oh/lib/libm.so.6.1",
            "/oh/python/bin/python3",
            "/oh/python/lib/site.py",
            "/oh/s",
        ];
        let mut expected = vec!["/oh/etc/site.py"];
        expected.extend(installation);
        assert_eq!(files(&shown.compiling), expected);
        expected.extend([
            "/oh/code/b.py",
            "/oh/env/bin/python",
            "/oh/env/lib/a.py",
            "/oh/env/lib/bundle",
            "/oh/etc/bundle",
        ]);
        expected.sort_unstable();
        assert_eq!(files(&shown.importing), expected);
    }

    #[test]
    fn an_interpreter_in_the_prefix_s_own_directory_sees_all_of_it() {
        let tree = tree(vec![
            ("oh/bin/python", file("#!/oh/tools/bin/sh")),
            ("oh/lib/a.py", file("a")),
            ("oh/tools/bin/sh", file("sh")),
            ("etc/passwd", file("root")),
        ]);
        let shown = of("bin/python", "none", &[&tree]).unwrap();
        let expected = ["/oh/bin/python", "/oh/lib/a.py", "/oh/tools/bin/sh"];
        assert_eq!(files(&shown.importing), expected);
        assert_eq!(files(&shown.compiling), expected);
    }

    #[test]
    fn an_interpreter_that_is_nowhere_is_named() {
        let tree = tree(vec![("oh/env/bin/python", link("../../gone"))]);
        let error = of("env/bin/python", "none", &[&tree]).unwrap_err();
        assert_eq!(error.to_string(), "/oh/env/bin/python is in no layer below");
    }
}
