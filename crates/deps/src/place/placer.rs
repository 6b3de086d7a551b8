//! Puts the files of many packages into one tree below the prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::certificates::add_certificates;
use super::directories::{Destination, LOADER, destination};
use super::glob::Glob;
use super::link::{Link, Retargeted, relative, retarget};
use super::machine::Machine;
use super::shortcuts::add_shortcuts;
use ohoci_layer::{Entry, Kind, LayerPath, Rules, Tree};

/// How packages are placed.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What the packages are built for.
    pub machine: Machine,
    /// Paths of the packages (`usr/share/doc/**`) that are left out.
    pub drop: Vec<Glob>,
    /// Links that are added when all packages are there.
    pub links: Vec<Link>,
}

/// Why packages cannot be placed.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Two packages, or one twice, want different things at the same path.
    #[error("{first} and {second} both put something at {path}")]
    Conflict {
        /// The path below the prefix.
        path: LayerPath,
        /// The package that came first.
        first: String,
        /// The package that came later.
        second: String,
    },
    /// A file is where nothing below the prefix can stand for it.
    #[error("{package}: nothing below the prefix stands for {path}; drop it in the recipe")]
    Nowhere {
        /// The package.
        package: String,
        /// The path in the package.
        path: LayerPath,
    },
    /// A package has something that no layer should hold.
    #[error("{package}: {path} {reason}")]
    Unfit {
        /// The package.
        package: String,
        /// The path in the package.
        path: LayerPath,
        /// What is wrong with it.
        reason: String,
    },
    /// A link leads to nothing.
    #[error("link {at} leads to {to}, which no package brings")]
    Dangling {
        /// The link.
        at: LayerPath,
        /// Where it leads.
        to: LayerPath,
    },
    /// Reading a file failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Packages below the prefix.
#[derive(Debug)]
pub struct Placed {
    /// The tree, relative to the prefix, with all parents.
    pub tree: Tree,
    /// Which package each entry came from that is no directory. What was made here (shortcuts,
    /// the CA bundle) has none.
    pub owners: BTreeMap<LayerPath, String>,
    /// How many entries were left out because the layout drops them.
    pub dropped: u64,
}

/// Collects packages; the result does not depend on their order, unless two of them disagree
/// about a directory's mode: then the first counts.
#[derive(Debug)]
pub struct Placer<'a> {
    layout: &'a Layout,
    tree: Tree,
    owners: BTreeMap<LayerPath, String>,
    dropped: u64,
}

impl<'a> Placer<'a> {
    /// A collection without packages.
    #[must_use]
    pub fn new(layout: &'a Layout) -> Self {
        Self {
            layout,
            tree: Tree::new(),
            owners: BTreeMap::new(),
            dropped: 0,
        }
    }

    /// Adds a package's files, which have the paths that dpkg would unpack them to.
    ///
    /// Everything belongs to root. Symlinks keep leading to the same file; hard links stay hard
    /// links unless their target is dropped. Directories that are empty because everything in
    /// them is dropped are left out.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn add(&mut self, package: &str, files: &Tree) -> Result<(), PlaceError> {
        let kept = self.kept(files);
        // Where the content of dropped targets of hard links went.
        let mut promoted: BTreeMap<&LayerPath, LayerPath> = BTreeMap::new();
        for (path, entry) in files {
            if !kept.contains(path) {
                self.dropped += u64::from(!entry.is_directory());
                continue;
            }
            let at = match destination(path, self.layout.machine) {
                Destination::At(at) => at,
                Destination::Container => continue,
                Destination::Nowhere if entry.is_directory() => continue,
                Destination::Nowhere => {
                    return Err(PlaceError::Nowhere {
                        package: package.to_owned(),
                        path: path.clone(),
                    });
                }
            };
            let unfit = |reason: String| PlaceError::Unfit {
                package: package.to_owned(),
                path: path.clone(),
                reason,
            };
            let mut placed = Entry {
                uid: 0,
                gid: 0,
                ..entry.clone()
            };
            match &entry.kind {
                Kind::File(_) | Kind::Directory => {}
                Kind::Symlink(target) => {
                    if merges_usr(path) {
                        continue;
                    }
                    match retarget(path, &at, target, self.layout.machine) {
                        Retargeted::Same => continue,
                        Retargeted::To(target) => placed.kind = Kind::Symlink(target),
                    }
                }
                Kind::Hardlink(target) if kept.contains(target) => {
                    let Destination::At(to) = destination(target, self.layout.machine) else {
                        return Err(unfit(format!("is a hard link to {target}")));
                    };
                    placed.kind = Kind::Hardlink(to);
                }
                Kind::Hardlink(target) => match promoted.get(target) {
                    Some(first) => placed.kind = Kind::Hardlink(first.clone()),
                    None => {
                        let content = files.get(target).map(|entry| &entry.kind);
                        let Some(Kind::File(content)) = content else {
                            return Err(unfit(format!("is a hard link to {target}, no file")));
                        };
                        placed.kind = Kind::File(content.clone());
                        promoted.insert(target, at.clone());
                    }
                },
                other => return Err(unfit(format!("is a {}", other.noun()))),
            }
            self.put(package, at, placed)?;
        }
        Ok(())
    }

    /// What is not dropped, without directories that only held what is.
    fn kept<'t>(&self, files: &'t Tree) -> BTreeSet<&'t LayerPath> {
        let dropped = |path: &LayerPath| self.layout.drop.iter().any(|glob| glob.matches(path));
        let mut kept = BTreeSet::new();
        let mut holds_anything = BTreeSet::new();
        let mut holds_kept = BTreeSet::new();
        let mut entries: Vec<_> = files.iter().collect();
        // What is in a directory comes before it.
        entries.reverse();
        for (path, entry) in entries {
            let parent = path.parent().unwrap_or_default();
            let emptied =
                entry.is_directory() && holds_anything.contains(path) && !holds_kept.contains(path);
            if !emptied && !dropped(path) {
                kept.insert(path);
                holds_kept.insert(parent.clone());
            } else if holds_kept.contains(path) {
                holds_kept.insert(parent.clone());
            }
            holds_anything.insert(parent);
        }
        kept
    }

    fn put(&mut self, package: &str, at: LayerPath, entry: Entry) -> Result<(), PlaceError> {
        let conflict = |owners: &BTreeMap<LayerPath, String>, path: &LayerPath| {
            // Only directories have no owner; whoever has something in it stands for them.
            let first = owners
                .iter()
                .find(|(owned, _)| owned.is_within(path))
                .map_or("another package", |(_, owner)| owner);
            PlaceError::Conflict {
                path: path.clone(),
                first: first.to_owned(),
                second: package.to_owned(),
            }
        };
        if let Some(present) = self.tree.get(&at) {
            return match (&present.kind, &entry.kind) {
                (Kind::Directory, Kind::Directory) => Ok(()),
                (Kind::Symlink(one), Kind::Symlink(other)) if one == other => Ok(()),
                _ => Err(conflict(&self.owners, &at)),
            };
        }
        let directory = entry.is_directory();
        if self.tree.insert(at.clone(), entry, Rules::Strict).is_err() {
            // What is in the way stands above it, or below it.
            let above = at
                .ancestors()
                .filter_map(|above| LayerPath::parse(above).ok())
                .find(|above| {
                    self.tree
                        .get(above)
                        .is_some_and(|other| !other.is_directory())
                });
            return Err(conflict(&self.owners, above.as_ref().unwrap_or(&at)));
        }
        if !directory {
            self.owners.insert(at, package.to_owned());
        }
        Ok(())
    }

    /// Adds what maintainer scripts would have made and what the prefix needs: the recipe's links,
    /// the loader's other names, the CA bundle, parents, and shortcuts. `elsewhere` says what stands below the
    /// prefix without being of these packages: links may lead there, and no shortcut is made.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn finish(mut self, elsewhere: impl Fn(&LayerPath) -> bool) -> Result<Placed, PlaceError> {
        let mut links = self.layout.links.clone();
        if let Ok(loader) = LayerPath::parse(LOADER.as_bytes())
            && self.tree.get(&loader).is_some()
        {
            for name in [self.layout.machine.loader(), "ld.so"] {
                if let Ok(at) = LayerPath::parse(format!("lib/{name}").as_bytes()) {
                    links.push(Link {
                        at,
                        to: loader.clone(),
                    });
                }
            }
        }
        for Link { at, to } in links {
            if self.tree.get(&to).is_none() && !elsewhere(&to) {
                return Err(PlaceError::Dangling { at, to });
            }
            let link = Entry::new(Kind::Symlink(relative(&at, &to)), 0o777);
            self.put("the recipe", at, link)?;
        }
        add_certificates(&mut self.tree)?;
        let missing: BTreeSet<LayerPath> = self
            .tree
            .iter()
            .flat_map(|(path, _)| path.ancestors())
            .filter_map(|above| LayerPath::parse(above).ok())
            .filter(|above| self.tree.get(above).is_none())
            .collect();
        for directory in missing {
            let entry = Entry::new(Kind::Directory, 0o755);
            // Nothing stands there, and what is above it is a directory or nothing.
            let _ = self.tree.insert(directory, entry, Rules::Strict);
        }
        add_shortcuts(&mut self.tree, elsewhere);
        Ok(Placed {
            tree: self.tree,
            owners: self.owners,
            dropped: self.dropped,
        })
    }
}

/// The links that make `/bin` and `/lib` the same as those in `/usr`: both ends have one place.
fn merges_usr(path: &LayerPath) -> bool {
    matches!(
        path.as_bytes(),
        b"bin" | b"sbin" | b"lib" | b"lib32" | b"lib64" | b"libx32"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_layer::Content;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    fn tree(entries: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new();
        for (at, what) in entries {
            let kind = match what.split_at_checked(2) {
                Some(("->", target)) => Kind::Symlink(target.as_bytes().to_vec()),
                Some(("=>", target)) => Kind::Hardlink(path(target)),
                Some(("d:", _)) => Kind::Directory,
                Some(("p:", _)) => Kind::Fifo,
                _ => Kind::File(Content::Memory(what.as_bytes().to_vec().into())),
            };
            tree.insert(path(at), Entry::new(kind, 0o755), Rules::Strict)
                .unwrap();
        }
        tree
    }

    fn layout(drop: &[&str]) -> Layout {
        Layout {
            machine: Machine::Amd64,
            drop: drop.iter().map(|glob| glob.parse().unwrap()).collect(),
            links: Vec::new(),
        }
    }

    fn show(tree: &Tree) -> Vec<String> {
        tree.iter()
            .map(|(at, entry)| match &entry.kind {
                Kind::Symlink(target) => format!("{at} -> {}", String::from_utf8_lossy(target)),
                Kind::Hardlink(target) => format!("{at} => {target}"),
                Kind::Directory => format!("{at}/"),
                _ => at.to_string(),
            })
            .collect()
    }

    fn place(layout: &Layout, packages: &[(&str, Tree)]) -> Result<Placed, PlaceError> {
        let mut placer = Placer::new(layout);
        for (name, files) in packages {
            placer.add(name, files)?;
        }
        placer.finish(|_| false)
    }

    #[test]
    fn a_package_moves_below_the_prefix() {
        let libc = tree(&[
            ("lib64", "->usr/lib64"),
            ("usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "loader"),
            ("usr/lib/x86_64-linux-gnu/libc.so.6", "libc"),
            (
                "usr/lib64/ld-linux-x86-64.so.2",
                "->../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            ),
            ("usr/lib/locale/C.utf8/LC_CTYPE", "ctype"),
            ("run/lock", "d:"),
        ]);
        let placed = place(&layout(&[]), &[("libc6", libc)]).unwrap();
        assert_eq!(
            show(&placed.tree),
            [
                "/lc -> lib/locale",
                "/lib/",
                "/lib/ld-linux-oh",
                "/lib/ld-linux-x86-64.so.2 -> ld-linux-oh",
                "/lib/ld.so -> ld-linux-oh",
                "/lib/libc.so.6",
                "/lib/locale/",
                "/lib/locale/C.utf8/",
                "/lib/locale/C.utf8/LC_CTYPE",
            ]
        );
        assert_eq!(placed.owners[&path("lib/libc.so.6")], "libc6");
    }

    #[test]
    fn conflicts_name_both_packages() {
        for (one, other) in [
            (("usr/bin/x", "1"), ("usr/sbin/x", "2")),
            (("usr/share/x", "1"), ("usr/share/x/y", "2")),
            (("usr/share/x/y", "1"), ("usr/share/x", "2")),
            (("usr/bin/x", "->a"), ("bin/x", "->b")),
        ] {
            let packages = [("first", tree(&[one])), ("second", tree(&[other]))];
            let text = place(&layout(&[]), &packages).unwrap_err().to_string();
            assert!(text.contains("first and second"), "{text}");
        }
        let same = [
            (
                "first",
                tree(&[("usr/bin/x", "->y"), ("usr/share/d", "d:")]),
            ),
            ("second", tree(&[("bin/x", "->y"), ("usr/share/d", "d:")])),
        ];
        assert!(place(&layout(&[]), &same).is_ok());
    }

    #[test]
    fn dropping_takes_directories_with_it_but_keeps_hard_links_whole() {
        let files = tree(&[
            ("usr/share/doc", "d:"),
            ("usr/share/doc/x", "d:"),
            ("usr/share/doc/x/copyright", "c"),
            ("usr/share/empty", "d:"),
            ("usr/bin/a", "content"),
            ("usr/bin/b", "=>usr/bin/a"),
            ("usr/bin/c", "=>usr/bin/a"),
        ]);
        let placed = place(
            &layout(&["usr/share/doc/*/*", "usr/bin/a"]),
            &[("x", files)],
        )
        .unwrap();
        assert_eq!(
            show(&placed.tree),
            [
                "/share/",
                "/share/empty/",
                "/tools/",
                "/tools/bin/",
                "/tools/bin/b",
                "/tools/bin/c => /tools/bin/b",
            ]
        );
        assert_eq!(placed.dropped, 2);
    }

    #[test]
    fn what_cannot_be_placed_is_refused_with_its_package() {
        for files in [tree(&[("srv/x", "1")]), tree(&[("usr/bin/x", "p:")])] {
            let text = place(&layout(&[]), &[("odd", files)])
                .unwrap_err()
                .to_string();
            assert!(text.starts_with("odd: "), "{text}");
        }
    }

    #[test]
    fn links_of_the_recipe_need_a_target() {
        let mut layout = layout(&[]);
        layout.links.push(Link {
            at: path("tools/bin/awk"),
            to: path("tools/bin/mawk"),
        });
        let mawk = [("mawk", tree(&[("usr/bin/mawk", "m")]))];
        let placed = place(&layout, &mawk).unwrap();
        assert!(show(&placed.tree).contains(&"/tools/bin/awk -> mawk".to_owned()));
        let text = place(&layout, &[]).unwrap_err().to_string();
        assert!(text.contains("no package brings"), "{text}");
    }
}
