//! The sources of apt (`sources.list(5)`), in both of its formats.

use std::path::{Path, PathBuf};

use url::Url;

use crate::deb822::{Comments, Stanza, Stanzas};
use ohoci_config::mirrors;

/// A source of binary packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptSource {
    /// The root of the archive.
    pub base: Url,
    /// The distributions that are taken from it.
    pub suites: Vec<String>,
    /// The keys that may have signed it, where that is limited.
    pub signed_by: Vec<SignedBy>,
    /// Whether a release that has expired is refused.
    pub check_valid_until: bool,
}

/// Keys that may have signed a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// Those in a file.
    File(PathBuf),
    /// Those that stand in the source itself, armored.
    Inline(String),
}

/// What apt is set up with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AptSources {
    /// The sources that can be used, in apt's order.
    pub sources: Vec<AptSource>,
    /// What was passed over, and why.
    pub notes: Vec<String>,
}

/// Reads the sources below `root`, which is `/` but in tests.
///
/// What cannot be used is passed over and noted: a broken line for one archive says nothing about
/// another.
#[must_use]
pub fn read(root: &Path) -> AptSources {
    let apt = root.join("etc/apt");
    let mut found = AptSources::default();
    let mut files = vec![apt.join("sources.list")];
    files.extend(files_in(&apt.join("sources.list.d"), &["list", "sources"]));
    for file in files {
        let text = match fs_err::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                found.notes.push(error.to_string());
                continue;
            }
        };
        let reader = Reader {
            file: &file,
            root,
            found: &mut found,
        };
        match file.extension() {
            Some(extension) if extension == "sources" => reader.stanzas(&text),
            _ => reader.lines(&text),
        }
    }
    found
}

/// The files in a directory that end so, in apt's order.
pub(super) fn files_in(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .and_then(|extension| extension.to_str())
                .is_some_and(|extension| extensions.contains(&extension))
        })
        .collect();
    files.sort();
    files
}

struct Reader<'a> {
    file: &'a Path,
    root: &'a Path,
    found: &'a mut AptSources,
}

impl Reader<'_> {
    fn note(&mut self, line: usize, why: &str) {
        self.found
            .notes
            .push(format!("{}:{line}: {why}", self.file.display()));
    }

    /// The format of one line: `deb [option=value …] URI suite component…`.
    fn lines(mut self, text: &str) {
        for (index, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let Some(rest) = line.strip_prefix("deb").filter(|rest| {
                // Not `deb-src`, whose packages are sources.
                rest.starts_with(char::is_whitespace)
            }) else {
                continue;
            };
            let rest = rest.trim_start();
            let (options, rest) = match rest.strip_prefix('[') {
                None => ("", rest),
                Some(inside) => match inside.split_once(']') {
                    Some(parts) => parts,
                    None => {
                        self.note(index + 1, "the options have no end");
                        continue;
                    }
                },
            };
            let mut words = rest.split_whitespace();
            let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
                self.note(index + 1, "there is no suite behind the URI");
                continue;
            };
            let option = |name: &str| {
                options.split_whitespace().find_map(|option| {
                    let (key, value) = option.split_once('=')?;
                    key.eq_ignore_ascii_case(name).then_some(value)
                })
            };
            let signed_by = option("signed-by").unwrap_or_default();
            let signed_by = signed_by.split(',').filter_map(|path| self.key_file(path));
            let signed_by = signed_by.collect();
            let check = option("check-valid-until");
            self.add(index + 1, uri, vec![suite.to_owned()], signed_by, check);
        }
    }

    /// The format of stanzas.
    fn stanzas(mut self, text: &str) {
        for stanza in Stanzas::new(text, Comments::Allowed) {
            match stanza {
                Ok(stanza) => self.stanza(&stanza),
                Err(error) => self.note(error.line(), &error.to_string()),
            }
        }
    }

    fn stanza(&mut self, stanza: &Stanza<'_>) {
        let words = |name: &str| {
            let value = stanza.get(name).unwrap_or_default();
            value.split_whitespace().collect::<Vec<_>>()
        };
        let disabled = stanza.get("Enabled").is_some_and(|word| {
            matches!(word, "no" | "false" | "off" | "0" | "without" | "disable")
        });
        if disabled || !words("Types").contains(&"deb") {
            return;
        }
        let signed_by = stanza.get("Signed-By").unwrap_or_default();
        let signed_by: Vec<SignedBy> = if signed_by.contains("-----BEGIN") {
            // An empty line within is written as a dot (deb822(5)).
            let lines = signed_by.lines().map(str::trim);
            let lines: Vec<&str> = lines
                .map(|line| if line == "." { "" } else { line })
                .collect();
            vec![SignedBy::Inline(lines.join("\n"))]
        } else {
            let paths = signed_by.split([',', ' ', '\n', '\t']);
            paths.filter_map(|path| self.key_file(path)).collect()
        };
        let suites: Vec<String> = words("Suites").into_iter().map(str::to_owned).collect();
        for uri in words("URIs") {
            let check = stanza.get("Check-Valid-Until");
            self.add(stanza.line, uri, suites.clone(), signed_by.clone(), check);
        }
    }

    /// A file of keys; `None` for what is the fingerprint of one.
    fn key_file(&self, path: &str) -> Option<SignedBy> {
        let below = path.trim().strip_prefix('/')?;
        Some(SignedBy::File(self.root.join(below)))
    }

    fn add(
        &mut self,
        line: usize,
        uri: &str,
        suites: Vec<String>,
        signed_by: Vec<SignedBy>,
        check_valid_until: Option<&str>,
    ) {
        let Ok(base) = mirrors::root(uri) else {
            self.note(line, &format!("{uri} is neither http nor https"));
            return;
        };
        // A suite that ends in a slash is a directory of packages, without distributions.
        let suites: Vec<String> = suites
            .into_iter()
            .filter(|suite| !suite.ends_with('/'))
            .collect();
        if suites.is_empty() {
            return;
        }
        self.found.sources.push(AptSource {
            base,
            suites,
            signed_by,
            check_valid_until: !matches!(check_valid_until, Some("no" | "false" | "off" | "0")),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, AptSources) {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("etc/apt/sources.list.d")).unwrap();
        for (name, text) in files {
            fs_err::write(root.path().join("etc/apt").join(name), text).unwrap();
        }
        let found = read(root.path());
        (root, found)
    }

    fn shown(sources: &AptSources) -> Vec<String> {
        sources
            .sources
            .iter()
            .map(|source| format!("{} {}", source.base, source.suites.join(",")))
            .collect()
    }

    #[test]
    fn both_formats_are_read_in_order() {
        let (root, found) = machine(&[
            (
                "sources.list",
                "# deb http://no.example x main\n\
                 deb [arch=amd64 signed-by=/usr/share/k.gpg check-valid-until=no] http://a.example/debian trixie main # c\n\
                 deb-src http://a.example/debian trixie main\n\
                 deb http://flat.example/ ./\n\
                 deb cdrom:[x]/ trixie main\n",
            ),
            (
                "sources.list.d/b.sources",
                "Types: deb deb-src\n# why\nURIs: http://b.example/debian http://c.example/d/\n\
                 Suites: trixie trixie-updates\nComponents: main\nSigned-By: /k1.gpg /k2.asc\n\n\
                 Enabled: no\nTypes: deb\nURIs: http://no.example\nSuites: x\n",
            ),
            (
                "sources.list.d/a.list",
                "deb https://z.example bookworm main",
            ),
            (
                "sources.list.d/ignored.save",
                "deb http://no.example x main",
            ),
        ]);
        assert_eq!(
            shown(&found),
            [
                "http://a.example/debian/ trixie",
                "https://z.example/ bookworm",
                "http://b.example/debian/ trixie,trixie-updates",
                "http://c.example/d/ trixie,trixie-updates",
            ]
        );
        let [first, second, third, _] = found.sources.as_slice() else {
            panic!("{found:?}");
        };
        let key = |name: &str| SignedBy::File(root.path().join(name));
        assert_eq!(first.signed_by, [key("usr/share/k.gpg")]);
        assert!(!first.check_valid_until && second.check_valid_until);
        assert_eq!(third.signed_by, [key("k1.gpg"), key("k2.asc")]);
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        assert!(
            found.notes[0].contains("sources.list:5: "),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn keys_can_stand_in_the_source() {
        let (_root, found) = machine(&[(
            "sources.list.d/a.sources",
            "Types: deb\nURIs: http://a.example\nSuites: x\nSigned-By:\n \
             -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n",
        )]);
        assert_eq!(
            found.sources[0].signed_by,
            [SignedBy::Inline(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----"
                    .to_owned()
            )]
        );
    }

    #[test]
    fn a_broken_file_does_not_hide_the_others() {
        let (_root, found) = machine(&[
            (
                "sources.list",
                "deb [x http://a.example x\ndeb http://b.example\n",
            ),
            ("sources.list.d/a.sources", "what\n"),
            ("sources.list.d/b.list", "deb http://c.example x main"),
        ]);
        assert_eq!(shown(&found), ["http://c.example/ x"]);
        assert_eq!(found.notes.len(), 3, "{:?}", found.notes);
        assert_eq!(machine(&[]).1, AptSources::default());
    }
}
