//! pip's configuration on this machine, as a build sees it: variables, files, certificates, and
//! directories with packages. None of it is in a layer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::stage::SCRATCH;
use ohoci_sandbox::Bind;

/// What a build with the network gets.
#[derive(Clone, Debug, Default)]
pub struct PipSettings {
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// Files and directories.
    pub binds: Vec<Bind>,
}

/// Variables that name certificates which are trusted.
const CERTIFICATES: [&str; 4] = [
    "PIP_CERT",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];

/// Variables about proxies.
const PROXIES: [&str; 4] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

impl PipSettings {
    /// What the variables say, and the configuration files that there are. `cache` is where pip keeps
    /// what it downloads and builds.
    #[must_use]
    pub fn of_machine(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        files: &[PathBuf],
        cache: Option<&Path>,
    ) -> Self {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut found = Self::default();
        // The lists of files are joined: the last one to say something wins, as for pip.
        let mut configuration = String::new();
        let own = variables.get("PIP_CONFIG_FILE").map(PathBuf::from);
        let is_off = own.as_deref() == Some(Path::new("/dev/null"));
        let files = files.iter().filter(|_| !is_off).chain(&own);
        for file in files {
            if let Ok(text) = fs_err::read_to_string(file) {
                configuration.push_str(&text);
                configuration.push('\n');
            }
        }
        for (name, value) in &variables {
            let is_proxy = PROXIES.contains(&name.to_lowercase().as_str());
            let is_pip =
                name.starts_with("PIP_") && name != "PIP_CONFIG_FILE" && name != "PIP_CACHE_DIR";
            let is_certificate = CERTIFICATES.contains(&name.as_str());
            if !(is_proxy || is_pip || is_certificate) {
                continue;
            }
            let value = found.moved(value);
            found.environment.push((name.clone(), value));
        }
        if !configuration.is_empty() {
            found.merge(&configuration);
        }
        if let Some(cache) = cache {
            let at = format!("{SCRATCH}/pip-cache");
            found.binds.push(Bind {
                source: cache.to_owned(),
                destination: at.clone().into(),
                writable: true,
            });
            found.environment.push(("PIP_CACHE_DIR".to_owned(), at));
        } else {
            found
                .environment
                .push(("PIP_NO_CACHE_DIR".to_owned(), "1".to_owned()));
        }
        found
    }

    /// The same, with a place of its own for wheels that pip builds, if it keeps any: they fit the
    /// compiler and the libraries that they were built with, and no others.
    #[must_use]
    pub(crate) fn with_wheels(&self, wheels: Option<&Path>) -> Self {
        let mut settings = self.clone();
        let cache = settings.environment.iter();
        let cache = cache.clone().find(|(name, _)| name == "PIP_CACHE_DIR");
        if let (Some((_, cache)), Some(wheels)) = (cache, wheels) {
            let destination = Path::new(cache).join("wheels");
            settings.binds.push(Bind {
                source: wheels.to_owned(),
                destination,
                writable: true,
            });
        }
        settings
    }

    /// Where pip looks for its files (`pip config debug`), the machine's before the user's.
    #[must_use]
    pub fn files(home: Option<&Path>, config_home: Option<&Path>) -> Vec<PathBuf> {
        let mut files = vec![
            PathBuf::from("/etc/xdg/pip/pip.conf"),
            PathBuf::from("/etc/pip.conf"),
        ];
        files.extend(home.map(|home| home.join(".pip/pip.conf")));
        files.extend(config_home.map(|config| config.join("pip/pip.conf")));
        files
    }

    /// A value whose paths of this machine are shown inside: below the scratch directory, so that
    /// no trace of them stays.
    fn moved(&mut self, value: &str) -> String {
        let words = value.split_whitespace().map(|word| {
            let (scheme, path) = match word.strip_prefix("file://") {
                Some(path) => ("file://", path),
                None => ("", word),
            };
            match fs_err::canonicalize(path) {
                Ok(source) if path.starts_with('/') => {
                    format!("{scheme}{}", self.shown(source))
                }
                _ => word.to_owned(),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn shown(&mut self, source: PathBuf) -> String {
        if let Some(known) = self.binds.iter().find(|bind| bind.source == source) {
            return known.destination.display().to_string();
        }
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let at = format!("{SCRATCH}/{}/{name}", self.binds.len());
        self.binds.push(Bind {
            destination: at.clone().into(),
            source,
            writable: false,
        });
        at
    }

    /// Hands what the files say over as variables, which need no file in the sandbox; those of the
    /// environment go first, as they do for pip. Sections of single commands are left out but that
    /// of `install`.
    fn merge(&mut self, configuration: &str) {
        let mut of_files = BTreeMap::new();
        for (section, key, value) in entries(configuration) {
            if ["global", "install"].contains(&section.as_str()) {
                of_files.insert(
                    format!("PIP_{}", key.to_uppercase().replace('-', "_")),
                    value,
                );
            }
        }
        for (name, value) in of_files {
            let value = self.moved(&value);
            if !self.environment.iter().any(|(known, _)| *known == name) {
                self.environment.push((name, value));
            }
        }
    }
}

/// Sections, keys and values; a value goes on in lines that are indented.
fn entries(configuration: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut found: Vec<(String, String, String)> = Vec::new();
    for line in configuration.lines() {
        let text = line.trim();
        if text.is_empty() || text.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = text
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
        {
            section = name.to_lowercase();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, _, value)) = found.last_mut() {
                value.push(' ');
                value.push_str(text);
            }
        } else if let Some((key, value)) = text.split_once(['=', ':']) {
            found.push((
                section.clone(),
                key.trim().to_lowercase(),
                value.trim().to_owned(),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_variables_are_handed_over_and_variables_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let wheels = directory.path().join("wheels");
        fs_err::create_dir(&wheels).unwrap();
        let file = directory.path().join("pip.conf");
        let text = format!(
            "[global]\nindex-url = https://registry.example/simple\nfind-links =\n    {}\n[list]\nformat = json\n",
            wheels.display()
        );
        fs_err::write(&file, text).unwrap();
        let variables = [
            ("PIP_RETRIES", "1"),
            ("HOME", "/x"),
            ("PIP_INDEX_URL", "https://a.example"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let settings = PipSettings::of_machine(variables, &[file], None);
        let get = |name: &str| {
            let mut found = settings
                .environment
                .iter()
                .filter(|(known, _)| known == name);
            found.next().map(|(_, value)| value.as_str())
        };
        assert_eq!(get("PIP_INDEX_URL"), Some("https://a.example"));
        assert_eq!(get("PIP_RETRIES"), Some("1"));
        assert_eq!(get("PIP_FIND_LINKS"), Some("/run/ohoci/0/wheels"));
        assert_eq!(get("HOME"), None);
        assert_eq!(get("PIP_FORMAT"), None);
        assert_eq!(get("PIP_NO_CACHE_DIR"), Some("1"));
        assert_eq!(settings.binds.len(), 1);
        let kept = PipSettings::of_machine([], &[], Some(directory.path()));
        let kept = kept.with_wheels(Some(Path::new("/kept")));
        let bind = kept.binds.last().unwrap();
        assert_eq!(bind.destination, Path::new("/run/ohoci/pip-cache/wheels"));
        let without = settings.with_wheels(Some(Path::new("/kept")));
        assert_eq!(without.binds.len(), 1);
        assert_eq!(
            settings.binds[0].source,
            fs_err::canonicalize(wheels).unwrap()
        );
    }
}
