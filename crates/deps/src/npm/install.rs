//! `node_modules` put together from packages, as npm lays it out.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::NpmError;
use super::lockfile::Package;
use super::name::parent_of;
use super::tarball::Files;
use crate::archive::selection::add_directories;
use crate::archive::tar::read_content;
use crate::recipe::Pattern;
use ohoci_layer::tree::TreeError;
use ohoci_layer::{Content, Entry, Kind, LayerPath, Rules, Tree};

/// The largest program whose first line is looked at, in bytes.
const MAX_PROGRAM: u64 = 256 << 20;

/// `node_modules` in the making.
#[derive(Debug)]
pub struct NodeModules {
    /// The directory that gets `node_modules`.
    root: LayerPath,
    /// Files to leave out, below that directory.
    drop: Vec<Pattern>,
    tree: Tree,
    /// Programs, by place and path, to be linked when everything is there.
    programs: BTreeMap<String, (String, BTreeMap<String, String>)>,
    notes: Vec<String>,
}

impl NodeModules {
    /// None yet, in the directory `root`.
    #[must_use]
    pub fn new(root: LayerPath) -> Self {
        Self {
            root,
            drop: Vec::new(),
            tree: Tree::new(),
            programs: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// The same, without the files that these stand for, below the directory that gets `node_modules`.
    #[must_use]
    pub fn without(mut self, drop: &[Pattern]) -> Self {
        drop.clone_into(&mut self.drop);
        self
    }

    /// Puts a package at its place. Of a package that is bundled into another one there are no
    /// files.
    ///
    /// # Errors
    /// When something is there already.
    pub fn add(&mut self, location: &str, package: &Package, files: Files) -> Result<(), NpmError> {
        let what = format!("{} {}", package.name, package.version);
        let place = LayerPath::parse(location.as_bytes())
            .map_err(|error| NpmError::new(&what, error.to_string()))?;
        for (path, file) in files {
            let insert = |tree: &mut Tree| -> Result<(), TreeError> {
                let below = place.join(&path)?;
                if self.drop.iter().any(|pattern| pattern.matches(&below)) {
                    return Ok(());
                }
                let at = self.root.join(&below)?;
                add_directories(tree, &at)?;
                tree.insert(
                    at,
                    Entry::new(Kind::File(file.content), file.mode),
                    Rules::Strict,
                )
            };
            insert(&mut self.tree)
                .map_err(|error| NpmError::member(&what, path.as_bytes(), error.to_string()))?;
        }
        if !package.programs.is_empty() {
            let programs = (what, package.programs.clone());
            self.programs.insert(location.to_owned(), programs);
        }
        Ok(())
    }

    /// The tree, with links to the programs in `node_modules/.bin`, and what was left out, in
    /// words.
    ///
    /// # Errors
    /// When a program's name or path leads elsewhere.
    pub fn finish(mut self) -> Result<(Tree, Vec<String>), NpmError> {
        for (location, (what, programs)) in std::mem::take(&mut self.programs) {
            for (name, path) in programs {
                self.link(&location, &name, &path)
                    .map_err(|why| NpmError::member(&what, name.as_bytes(), why))?;
            }
        }
        Ok((self.tree, self.notes))
    }

    fn link(&mut self, location: &str, name: &str, path: &str) -> Result<(), String> {
        let parse = |text: &str| {
            LayerPath::parse(text.as_bytes()).map_err(|error| format!("its program: {error}"))
        };
        let name_path = parse(name)?;
        if name_path.names().count() != 1 || name_path.as_bytes() != name.as_bytes() {
            return Err("it is no name of a program".to_owned());
        }
        let path = parse(path)?;
        let join = |below: &LayerPath| self.root.join(below).map_err(|error| error.to_string());
        let target = join(&parse(location)?)?
            .join(&path)
            .map_err(|error| error.to_string())?;
        let Some(entry) = self.tree.get(&target).cloned() else {
            // npm leaves such links out, too.
            self.notes
                .push(format!("{location}: its program {name} is not there"));
            return Ok(());
        };
        let Kind::File(content) = &entry.kind else {
            return Err("its program is no file".to_owned());
        };
        let fixed = Entry {
            kind: Kind::File(unix_first_line(content).map_err(|error| error.to_string())?),
            mode: entry.mode | 0o111,
            ..entry.clone()
        };
        self.tree
            .insert(target, fixed, Rules::Foreign)
            .map_err(|error| error.to_string())?;
        let above = parent_of(location);
        let slash = if above.is_empty() { "" } else { "/" };
        let bin = format!("{above}{slash}node_modules/.bin/{name}");
        let bin = join(&parse(&bin)?)?;
        if self.tree.get(&bin).is_some() {
            self.notes.push(format!(
                "{location}: another package has a program {name} as well"
            ));
            return Ok(());
        }
        let below = location
            .get(above.len()..)
            .unwrap_or_default()
            .trim_start_matches('/')
            .trim_start_matches("node_modules/");
        let link = [b"../", below.as_bytes(), b"/", path.as_bytes()].concat();
        add_directories(&mut self.tree, &bin)
            .and_then(|()| {
                let entry = Entry::new(Kind::Symlink(link), 0o777);
                self.tree.insert(bin, entry, Rules::Strict)
            })
            .map_err(|error| error.to_string())
    }
}

/// A program whose first line ends as on Windows could not be started; npm mends this line.
fn unix_first_line(content: &Content) -> std::io::Result<Content> {
    if content.size() > MAX_PROGRAM {
        return Ok(content.clone());
    }
    let bytes = read_content(content, MAX_PROGRAM)?;
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let Some(line) = end.and_then(|end| bytes.get(..end)) else {
        return Ok(content.clone());
    };
    match line.strip_suffix(b"\r") {
        Some(mended) if line.starts_with(b"#!") => {
            let rest = bytes.get(line.len()..).unwrap_or_default();
            Ok(Content::Memory(Bytes::from([mended, rest].concat())))
        }
        _ => Ok(content.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tarball::PackedFile;
    use super::super::tarball::tests::package;
    use super::*;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn files(files: &[(&str, &'static str)]) -> Files {
        let file = |content: &'static str| PackedFile {
            content: Content::Memory(Bytes::from_static(content.as_bytes())),
            mode: 0o644,
        };
        let files = files.iter().map(|(at, content)| (path(at), file(content)));
        files.collect()
    }

    fn with_program(name: &str, program: (&str, &str)) -> Package {
        let mut package = package(name, "1.0.0");
        package.programs = BTreeMap::from([(program.0.to_owned(), program.1.to_owned())]);
        package
    }

    #[test]
    fn packages_nest_and_their_programs_are_linked() {
        let mut modules = NodeModules::new(path("tools"));
        let with_lines = [("cli.js", "#!/usr/bin/env node\r\nx\r\n")];
        for (location, package) in [
            ("node_modules/@s/a", with_program("@s/a", ("a", "./cli.js"))),
            (
                "node_modules/@s/a/node_modules/b",
                with_program("b", ("b", "cli.js")),
            ),
            ("node_modules/c", with_program("c", ("c", "gone.js"))),
            ("node_modules/d", with_program("d", ("a", "cli.js"))),
        ] {
            modules.add(location, &package, files(&with_lines)).unwrap();
        }
        let (tree, notes) = modules.finish().unwrap();
        let link = |at: &str| match &tree.get(&path(at)).unwrap().kind {
            Kind::Symlink(target) => String::from_utf8(target.clone()).unwrap(),
            other => panic!("{at} is a {}", other.noun()),
        };
        assert_eq!(link("tools/node_modules/.bin/a"), "../@s/a/cli.js");
        assert_eq!(
            link("tools/node_modules/@s/a/node_modules/.bin/b"),
            "../b/cli.js"
        );
        assert_eq!(notes.len(), 2, "{notes:?}");
        let entry = tree.get(&path("tools/node_modules/@s/a/cli.js")).unwrap();
        assert_eq!(entry.mode, 0o755);
        let Kind::File(content) = &entry.kind else {
            panic!("a file");
        };
        assert_eq!(
            read_content(content, 100).unwrap(),
            b"#!/usr/bin/env node\nx\r\n"
        );
    }

    #[test]
    fn files_are_left_out_below_the_directory() {
        let drop = ["node_modules/**/*.map", "node_modules/whole/**"];
        let drop = drop.map(|pattern| pattern.parse().unwrap());
        let mut modules = NodeModules::new(path("tools")).without(&drop);
        let content = [("lib/x.js", ""), ("lib/x.js.map", "")];
        for name in ["a", "whole"] {
            let location = format!("node_modules/{name}");
            modules
                .add(&location, &package(name, "1.0.0"), files(&content))
                .unwrap();
        }
        let (tree, _) = modules.finish().unwrap();
        let left = tree.iter().filter(|(_, entry)| !entry.is_directory());
        let left: Vec<String> = left.map(|(path, _)| path.to_string()).collect();
        assert_eq!(left, ["/tools/node_modules/a/lib/x.js"]);
    }

    #[test]
    fn programs_that_lead_elsewhere_are_refused() {
        for program in [
            ("../x", "cli.js"),
            ("x", "../../../etc/passwd"),
            ("a/b", "cli.js"),
        ] {
            let mut modules = NodeModules::new(LayerPath::root());
            let package = with_program("a", program);
            modules
                .add("node_modules/a", &package, files(&[("cli.js", "")]))
                .unwrap();
            let error = modules.finish().unwrap_err().to_string();
            assert!(error.starts_with("a 1.0.0: "), "{error}");
        }
        let mut modules = NodeModules::new(LayerPath::root());
        let bundled = files(&[("node_modules/b/x", "")]);
        modules
            .add("node_modules/a", &package("a", "1.0.0"), bundled)
            .unwrap();
        let again = files(&[("x", "")]);
        let error = modules.add(
            "node_modules/a/node_modules/b",
            &package("b", "1.0.0"),
            again,
        );
        assert!(error.unwrap_err().to_string().contains("twice"));
    }
}
