//! Whether a loader finds the libraries that a program needs.
//!
//! Follows ld.so(8) of glibc and `ldso/dynlink.c` of musl. Where builds of a loader differ, each place
//! that one of them searches counts: what is said to be missing is missing for all.

use std::collections::{BTreeSet, VecDeque};

use crate::files::head::Head;
use crate::files::machine_code::Libraries;
use crate::files::{Files, What, Who};

/// Most libraries of one program that are looked through.
const MOST: usize = 2000;
/// Libraries that musl is itself, whatever follows (`load_library` in `ldso/dynlink.c`).
const MUSL: [&str; 7] = [
    "libc.",
    "libpthread.",
    "librt.",
    "libm.",
    "libdl.",
    "libutil.",
    "libxnet.",
];

/// A program, and what its loader goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program<'a> {
    pub(super) files: &'a Files,
    pub(super) who: &'a Who,
    /// The value of `LD_LIBRARY_PATH`.
    pub(super) library_path: &'a str,
    /// As it is called.
    pub(super) path: &'a str,
    /// The loader that it names.
    pub(super) loader: &'a str,
    pub(super) machine: u16,
}

/// A library or the program itself.
struct Loaded {
    /// As it was found.
    path: String,
    /// What it needs.
    libraries: Libraries,
    /// Where those that loaded it have their libraries looked for, the nearest first.
    inherited: Vec<String>,
}

impl Program<'_> {
    /// Looks for everything that a program with these libraries needs, and for what that needs.
    ///
    /// # Errors
    /// The first that is nowhere, and what needs it.
    pub(super) fn find_all(&self, libraries: &Libraries) -> Result<(), String> {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut waiting = VecDeque::from([Loaded {
            path: self.path.to_owned(),
            libraries: libraries.clone(),
            inherited: Vec::new(),
        }]);
        while let Some(by) = waiting.pop_front() {
            let mut inherited = self.directories(&by.libraries.rpath, &by.path);
            inherited.extend(by.inherited.iter().cloned());
            for name in &by.libraries.needed {
                if seen.len() >= MOST || self.is_loader(name) || !seen.insert(name.clone()) {
                    continue;
                }
                let Some((path, libraries)) = self.find(name, &by, &inherited) else {
                    return Err(format!(
                        "{} needs {name}, which {} finds nowhere (it says \"cannot open shared \
                         object file\")",
                        by.path, self.loader
                    ));
                };
                waiting.push_back(Loaded {
                    path,
                    libraries,
                    inherited: inherited.clone(),
                });
            }
        }
        Ok(())
    }

    /// Whether it is musl that loads it: by its own loader, or in glibc's place, by a link (Alpine's
    /// libc6-compat) or a program that starts it (gcompat).
    fn is_musl(&self) -> bool {
        let Ok(real) = self.files.follow(self.loader) else {
            return false;
        };
        let started_by = match self.files.at(&real).map(|file| &file.what) {
            Some(What::Program(Head::Elf { loader, .. })) => loader.as_str(),
            _ => "",
        };
        let names = [self.loader, real.as_str(), started_by].map(base);
        names.iter().any(|name| name.contains("musl"))
    }

    /// Whether a library is the loader, which is there already.
    fn is_loader(&self, name: &str) -> bool {
        base(name) == base(self.loader)
            || self.is_musl() && MUSL.iter().any(|own| name.starts_with(own))
    }

    fn find(&self, name: &str, by: &Loaded, inherited: &[String]) -> Option<(String, Libraries)> {
        if name.contains('/') {
            return Some((name.to_owned(), self.library(name)?));
        }
        let own = &by.libraries;
        let mut directories = Vec::new();
        // glibc leaves DT_RPATH out of account where there is DT_RUNPATH; musl takes both for one.
        if own.runpath.is_empty() || self.is_musl() {
            directories.extend(inherited.iter().cloned());
        }
        directories.extend(self.directories(self.library_path, &by.path));
        directories.extend(self.directories(&own.runpath, &by.path));
        directories.extend(self.standard());
        directories.into_iter().find_map(|directory| {
            let path = format!("{}/{name}", directory.trim_end_matches('/'));
            let libraries = self.library(&path)?;
            Some((path, libraries))
        })
    }

    /// The libraries of one that can be loaded.
    fn library(&self, path: &str) -> Option<Libraries> {
        let real = self.files.follow(path).ok()?;
        let file = self.files.at(&real)?;
        let can_read = self.files.closed(&real, self.who).is_none() && self.who.may(file, 4);
        match &file.what {
            What::Program(Head::Elf {
                machine, libraries, ..
            }) if *machine == self.machine && can_read => Some(libraries.clone()),
            _ => None,
        }
    }

    /// The directories of a list, variables of the loader replaced.
    fn directories(&self, list: &str, path: &str) -> Vec<String> {
        let above = |path: &str| {
            let (above, _) = path.rsplit_once('/').unwrap_or_default();
            above.to_owned()
        };
        let mut origins = vec![above(path)];
        if let Ok(real) = self.files.follow(path) {
            origins.push(above(&format!("/{real}")));
        }
        let triple = triple(self.machine);
        let libs = [
            "lib".to_owned(),
            "lib64".to_owned(),
            format!("lib/{triple}"),
        ];
        let mut found = Vec::new();
        for item in list.split([':', ';']).filter(|item| !item.is_empty()) {
            for origin in &origins {
                for lib in &libs {
                    let item = item
                        .replace("${ORIGIN}", origin)
                        .replace("$ORIGIN", origin)
                        .replace("${LIB}", lib)
                        .replace("$LIB", lib);
                    if item.starts_with('/') && !found.contains(&item) {
                        found.push(item);
                    }
                }
            }
        }
        found
    }

    /// Where a loader looks last.
    fn standard(&self) -> Vec<String> {
        let triple = triple(self.machine);
        let own = |name: &str| name.to_owned();
        if self.is_musl() {
            // Its file replaces the usual directories.
            let files = self.files.names_in("/etc").into_iter();
            let mut lists = files.filter_map(|name| {
                let is_list = name.starts_with("ld-musl-") && name.ends_with(".path");
                is_list.then(|| self.files.text(&format!("/etc/{name}")))?
            });
            return match lists.next() {
                Some(list) => {
                    let items = list.split([':', '\n']);
                    items.filter(|item| !item.is_empty()).map(own).collect()
                }
                None => ["/lib", "/usr/local/lib", "/usr/lib"].map(own).into(),
            };
        }
        let mut found = Vec::new();
        if let Ok(real) = self.files.follow("/etc/ld.so.cache")
            && let Some(What::LoaderCache(directories)) =
                self.files.at(&real).map(|file| &file.what)
        {
            found.extend(directories.iter().cloned());
        }
        for above in ["", "/usr"] {
            found.push(format!("{above}/lib/{triple}"));
            found.extend(["lib", "lib64", "lib32"].map(|name| format!("{above}/{name}")));
        }
        // A glibc with a prefix of its own has its libraries beside its loader.
        if let Ok(real) = self.files.follow(self.loader)
            && let Some((above, _)) = real.rsplit_once('/')
        {
            found.push(format!("/{above}"));
        }
        found
    }
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The directory in which Debian keeps libraries for a machine (`e_machine`).
fn triple(machine: u16) -> &'static str {
    match machine {
        3 => "i386-linux-gnu",
        21 => "powerpc64le-linux-gnu",
        22 => "s390x-linux-gnu",
        40 => "arm-linux-gnueabihf",
        62 => "x86_64-linux-gnu",
        183 => "aarch64-linux-gnu",
        243 => "riscv64-linux-gnu",
        258 => "loongarch64-linux-gnu",
        _ => "none",
    }
}
