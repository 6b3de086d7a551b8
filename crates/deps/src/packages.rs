//! Which package each file of finished layers is from, and under which licences packages are: by what
//! they say of themselves there.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::audit::{Licence, licences_in};
use super::built::BuiltImage;
use super::place::Prefix;
use super::python::InstalledDistribution;
use ohoci_layer::{Content, Kind, LayerPath, Tree};

/// Largest file that is read for what it says.
const MAX_FILE: u64 = 16 << 20;

/// The packages of an image.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    owners: BTreeMap<LayerPath, String>,
    licences: BTreeMap<String, Licence>,
}

/// What matters of a `package.json`.
#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    license: Option<serde_json::Value>,
}

/// What a prefix of conda's says of a package in it.
#[derive(Deserialize)]
struct CondaRecord {
    name: String,
    license: Option<String>,
    #[serde(default)]
    files: Vec<String>,
}

impl Packages {
    /// Looks into the layers: at the lists of contents that Debian's packages are in, the records of
    /// conda's, the `RECORD` of every Python package, the `package.json` of every npm package. What cannot be understood
    /// is passed over.
    #[must_use]
    pub fn of(image: &BuiltImage, prefix: &Prefix) -> Self {
        let mut packages = Self::default();
        for layer in &image.layers {
            let contents = layer.contents.iter();
            packages
                .owners
                .extend(contents.flat_map(|contents| contents.owners(prefix.path())));
        }
        for layer in &image.layers {
            packages.debian(&layer.tree, prefix);
        }
        // Before those of Python, which they may hold.
        for layer in &image.layers {
            packages.conda(&layer.tree);
        }
        for layer in &image.layers {
            packages.python(&layer.tree);
        }
        // Last, since packages of the others may have such files of their own.
        for layer in &image.layers {
            packages.npm(&layer.tree);
        }
        packages
    }

    /// The package of a path from the image's root: `git`, `conda:zlib`, `python:attrs`, `npm:debug`.
    #[must_use]
    pub fn owner(&self, path: &LayerPath) -> Option<&str> {
        self.owners.get(path).map(String::as_str)
    }

    /// The licences of each package.
    #[must_use]
    pub fn licences(&self) -> &BTreeMap<String, Licence> {
        &self.licences
    }

    fn add(&mut self, path: LayerPath, package: &str) {
        self.owners
            .entry(path)
            .or_insert_with(|| package.to_owned());
    }

    fn licence(&mut self, package: &str, licence: Licence) {
        match self.licences.get_mut(package) {
            Some(known) => known.join(licence),
            None => {
                self.licences.insert(package.to_owned(), licence);
            }
        }
    }

    /// The statements that [`assemble`](super::assemble) keeps of Debian's packages.
    fn debian(&mut self, tree: &Tree, prefix: &Prefix) {
        let directory = LayerPath::parse(b"share/licences");
        let Some(directory) = directory.and_then(|below| prefix.path().join(&below)).ok() else {
            return;
        };
        for (path, entry) in tree {
            if let Kind::File(content) = &entry.kind
                && path.is_within(&directory)
                && let Some(text) = read(content)
                && let Some(package) = self.owners.get(path).cloned()
            {
                self.licence(&package, licences_in(&text));
            }
        }
    }

    /// The records of packages that are linked into an environment of conda's.
    fn conda(&mut self, tree: &Tree) {
        for (path, entry) in tree {
            let directory = path.parent().filter(|above| above.name() == b"conda-meta");
            let environment = directory.and_then(|above| above.parent());
            let (Some(environment), Kind::File(content)) = (environment, &entry.kind) else {
                continue;
            };
            let record = read(content).filter(|_| path.name().ends_with(b".json"));
            let record = record.and_then(|text| serde_json::from_slice::<CondaRecord>(&text).ok());
            let Some(record) = record.filter(|_| !self.owners.contains_key(path)) else {
                continue;
            };
            let package = format!("conda:{}", record.name);
            self.add(path.clone(), &package);
            for file in &record.files {
                let file = LayerPath::parse(file.as_bytes());
                if let Some(file) = file.ok().and_then(|file| environment.join(&file).ok()) {
                    self.add(file, &package);
                }
            }
            self.licence(&package, Licence::named(record.license.as_deref()));
        }
    }

    fn python(&mut self, tree: &Tree) {
        for (path, _) in tree {
            let Some(dist_info) = path.parent() else {
                continue;
            };
            if path.name() != b"RECORD" || !dist_info.name().ends_with(b".dist-info") {
                continue;
            }
            let beside = |name: &[u8]| {
                let at = dist_info.join(&LayerPath::parse(name).ok()?).ok()?;
                String::from_utf8(file(tree, &at)?).ok()
            };
            let (Some(metadata), Some(record)) = (beside(b"METADATA"), beside(b"RECORD")) else {
                continue;
            };
            let Ok(found) = InstalledDistribution::parse(&dist_info, &metadata, &record) else {
                continue;
            };
            // Debian's own Python packages are packages of Debian.
            if self.owners.contains_key(path) {
                continue;
            }
            let package = format!("python:{}", found.name);
            for path in found.files {
                self.add(path, &package);
            }
            self.licence(&package, Licence::of_python(&found.licences));
        }
    }

    fn npm(&mut self, tree: &Tree) {
        let mut known: BTreeMap<LayerPath, Option<String>> = BTreeMap::new();
        for (path, entry) in tree {
            if !matches!(entry.kind, Kind::File(_)) || self.owners.contains_key(path) {
                continue;
            }
            let Some(directory) = package_directory(path) else {
                continue;
            };
            let package = match known.get(&directory) {
                Some(package) => package.clone(),
                None => {
                    let package = self.npm_package(tree, &directory);
                    known.insert(directory, package.clone());
                    package
                }
            };
            if let Some(package) = package {
                self.add(path.clone(), &package);
            }
        }
    }

    /// The npm package in a directory, if there is one.
    fn npm_package(&mut self, tree: &Tree, directory: &LayerPath) -> Option<String> {
        let manifest = directory
            .join(&LayerPath::parse(b"package.json").ok()?)
            .ok()?;
        let manifest: Manifest = serde_json::from_slice(&file(tree, &manifest)?).ok()?;
        let package = format!("npm:{}", manifest.name?);
        let licence = manifest.license.as_ref();
        let licence = licence.and_then(|licence| {
            let of_object = licence.get("type").and_then(|kind| kind.as_str());
            licence.as_str().or(of_object)
        });
        self.licence(&package, Licence::named(licence));
        Some(package)
    }
}

/// The directory of the package that a file in `node_modules` is of.
fn package_directory(path: &LayerPath) -> Option<LayerPath> {
    let names: Vec<&[u8]> = path.names().collect();
    let at = names.iter().rposition(|name| *name == b"node_modules")?;
    let scoped = names.get(at + 1)?.starts_with(b"@");
    let end = at + if scoped { 3 } else { 2 };
    let directory = names.get(..end).filter(|_| names.len() > end)?;
    LayerPath::parse(&directory.join(&b'/')).ok()
}

fn file(tree: &Tree, path: &LayerPath) -> Option<Vec<u8>> {
    match &tree.get(path)?.kind {
        Kind::File(content) => read(content),
        _ => None,
    }
}

fn read(content: &Content) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let small = content.size() <= MAX_FILE;
    let mut reader = small.then(|| content.open().ok()).flatten()?;
    std::io::Read::read_to_end(&mut reader, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::built::BuiltLayer;
    use crate::contents::{Contents, PackageContents};
    use crate::place::Machine;
    use ohoci_image::Platform;
    use ohoci_layer::{Entry, Rules};

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text.as_bytes()).unwrap()
    }

    fn image(files: &[(&str, &str)], contents: Option<Contents>) -> BuiltImage {
        let mut tree = Tree::new();
        for (at, text) in files {
            let content = Content::Memory(text.as_bytes().to_vec().into());
            tree.insert(
                path(at),
                Entry::new(Kind::File(content), 0o644),
                Rules::Strict,
            )
            .unwrap();
        }
        BuiltImage {
            platform: Platform::new("linux", "amd64"),
            machine: Machine::Amd64,
            layers: vec![BuiltLayer {
                name: "one".to_owned(),
                tree,
                contents,
            }],
        }
    }

    #[test]
    fn every_kind_of_package_is_known_by_its_files() {
        let site = "openhands/poetry/oh/lib/python3.13/site-packages";
        let module = format!("{site}/a/x.py");
        let metadata = format!("{site}/a-1.dist-info/METADATA");
        let record = format!("{site}/a-1.dist-info/RECORD");
        let program = "openhands/poetry/oh/bin/a";
        let inner = format!("{site}/a/node_modules/z/package.json");
        let files = [
            ("openhands/tools/bin/git", ""),
            (
                "openhands/share/licences/git",
                "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: GPL-2\n",
            ),
            ("openhands/share/licences/stranger", "prose"),
            (&module, ""),
            (&inner, "{\"name\": \"z\"}"),
            (
                &metadata,
                "Name: A\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n",
            ),
            (
                &record,
                "a/x.py,,\na/node_modules/z/package.json,,\n../../../bin/a,,\na-1.dist-info/METADATA,,\n",
            ),
            (program, ""),
            (
                "openhands/node/node_modules/@s/p/package.json",
                "{\"name\": \"@s/p\", \"license\": {\"type\": \"ISC\"}}",
            ),
            ("openhands/node/node_modules/@s/p/lib/x.js", ""),
            (
                "openhands/node/node_modules/@s/p/node_modules/q/package.json",
                "{\"name\": \"q\"}",
            ),
            ("openhands/node/node_modules/@s/p/node_modules/q/y.js", ""),
            ("openhands/node/node_modules/none/y.js", ""),
            ("openhands/node/node_modules/.package-lock.json", "{}"),
        ];
        let mut contents = Contents::new("one");
        let git = PackageContents {
            version: "1".to_owned(),
            files: ["tools/bin/git", "share/licences/git"]
                .map(str::to_owned)
                .into(),
        };
        contents.packages.insert("git".to_owned(), git);
        let packages = Packages::of(&image(&files, Some(contents)), &Prefix::default());
        for (at, owner) in [
            ("openhands/tools/bin/git", Some("git")),
            (&module, Some("python:a")),
            (&inner, Some("python:a")),
            (program, Some("python:a")),
            (
                "openhands/node/node_modules/@s/p/lib/x.js",
                Some("npm:@s/p"),
            ),
            (
                "openhands/node/node_modules/@s/p/node_modules/q/y.js",
                Some("npm:q"),
            ),
            ("openhands/node/node_modules/none/y.js", None),
            ("openhands/node/node_modules/.package-lock.json", None),
        ] {
            assert_eq!(packages.owner(&path(at)), owner, "{at}");
        }
        let named = |name: &str| Licence::Named([name.to_owned()].into());
        let licences: Vec<(&str, &Licence)> = packages
            .licences()
            .iter()
            .map(|(package, licence)| (package.as_str(), licence))
            .collect();
        assert_eq!(
            licences,
            [
                ("git", &named("GPL-2")),
                ("npm:@s/p", &named("ISC")),
                ("npm:q", &Licence::Unstated),
                ("python:a", &named("MIT License")),
            ]
        );
    }
}
