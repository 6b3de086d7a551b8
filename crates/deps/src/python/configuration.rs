//! Where this machine's uv and pip are told to find packages.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use url::Url;

use super::ini;
use ohoci_config::Environment;
use ohoci_config::environment::{
    PIP_CONFIG_FILE, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_INDEX_URL, UV_CONFIG_FILE,
    UV_DEFAULT_INDEX, UV_EXTRA_INDEX_URL, UV_FIND_LINKS, UV_INDEX, UV_INDEX_URL, VIRTUAL_ENV,
    XDG_CONFIG_DIRS,
};

/// The largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How long a tool may take to print its help.
const DEADLINE: Duration = Duration::from_secs(60);

/// The indexes that a machine is told to use. There may be credentials in their URLs, which are
/// not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// The index that has everything.
    pub default: Option<Url>,
    /// Those that are asked before it.
    pub extra: Vec<Url>,
    /// Directories with files, by their path.
    pub directories: Vec<PathBuf>,
    /// Whether uv finds these by itself.
    known_to_uv: bool,
}

impl Indexes {
    /// What the environment and the configuration files below `etc` (`/etc`) say: to uv, or else
    /// to pip.
    ///
    /// What cannot be read or understood counts as not said, as long as the tools themselves do
    /// not complain.
    #[must_use]
    pub fn of_machine(environment: &Environment, etc: &Path) -> Self {
        let uv = Self::of_uv(environment, etc);
        if uv.default.is_some() || !uv.extra.is_empty() || !uv.directories.is_empty() {
            return uv;
        }
        Self::of_pip(environment, etc)
    }

    /// The same with an index that has everything for where none is configured.
    #[must_use]
    pub fn or_default(mut self, url: Option<Url>) -> Self {
        self.default = self.default.or(url);
        self
    }

    /// The same with that of the tools where none is configured: then uv or pip is asked.
    pub(crate) async fn or_default_of_tools(self) -> Self {
        match self.default {
            Some(_) => self,
            None => self.or_default(default_of_tools().await),
        }
    }

    /// The indexes in the order in which they are asked.
    pub fn urls(&self) -> impl Iterator<Item = &Url> {
        self.extra.iter().chain(&self.default)
    }

    /// What uv must be told in environment variables: what only pip was.
    #[must_use]
    pub(crate) fn variables_for_uv(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if self.known_to_uv {
            return variables;
        }
        if let Some(default) = &self.default {
            variables.push((UV_DEFAULT_INDEX.name, default.to_string()));
        }
        if !self.extra.is_empty() {
            let extra: Vec<&str> = self.extra.iter().map(Url::as_str).collect();
            variables.push((UV_INDEX.name, extra.join(" ")));
        }
        let directories: Vec<String> = self
            .directories
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        if !directories.is_empty() {
            variables.push((UV_FIND_LINKS.name, directories.join(",")));
        }
        variables
    }

    fn of_uv(environment: &Environment, etc: &Path) -> Self {
        let mut found = Self {
            known_to_uv: true,
            ..Self::default()
        };
        let text = |variable| environment.get(variable)?.into_string().ok();
        let files = match environment.path(UV_CONFIG_FILE) {
            Some(file) => vec![file],
            None => environment
                .config_home()
                .into_iter()
                .chain(system_directories(environment, etc))
                .chain([etc.to_owned()])
                .map(|directory| directory.join("uv/uv.toml"))
                .collect(),
        };
        // Nearer ones win, and none is mixed with another.
        found.default = [UV_DEFAULT_INDEX, UV_INDEX_URL]
            .into_iter()
            .find_map(|variable| url_of(&text(variable)?));
        for variable in [UV_INDEX, UV_EXTRA_INDEX_URL] {
            let value = text(variable).unwrap_or_default();
            found
                .extra
                .extend(value.split_ascii_whitespace().filter_map(url_of));
        }
        let links = text(UV_FIND_LINKS).unwrap_or_default();
        found
            .directories
            .extend(links.split(',').filter_map(directory_of));
        for file in files {
            if let Some(config) = read(&file).and_then(|text| text.parse::<toml::Table>().ok()) {
                found.add_uv_config(&config);
            }
        }
        found
    }

    fn add_uv_config(&mut self, config: &toml::Table) {
        let tables = [
            Some(config),
            config.get("pip").and_then(toml::Value::as_table),
        ];
        for table in tables.into_iter().flatten() {
            let string = |key: &str| table.get(key).and_then(toml::Value::as_str);
            let list = |key: &str| {
                let list = table.get(key).and_then(toml::Value::as_array);
                list.into_iter().flatten().filter_map(toml::Value::as_str)
            };
            if self.default.is_none() {
                self.default = string("index-url").and_then(url_of);
            }
            self.extra
                .extend(list("extra-index-url").filter_map(url_of));
            self.directories
                .extend(list("find-links").filter_map(directory_of));
            let indexes = table.get("index").and_then(toml::Value::as_array);
            for index in indexes.into_iter().flatten() {
                let flag = |key: &str| index.get(key).and_then(toml::Value::as_bool) == Some(true);
                let url = index.get("url").and_then(toml::Value::as_str);
                let Some(url) = url.and_then(url_of).filter(|_| !flag("explicit")) else {
                    continue;
                };
                match flag("default") {
                    true if self.default.is_none() => self.default = Some(url),
                    true => {}
                    false => self.extra.push(url),
                }
            }
        }
    }

    fn of_pip(environment: &Environment, etc: &Path) -> Self {
        let mut found = Self::default();
        // Later ones win.
        let mut files: Vec<PathBuf> = system_directories(environment, etc)
            .map(|directory| directory.join("pip/pip.conf"))
            .collect();
        files.push(etc.join("pip.conf"));
        if let Some(home) = environment.home() {
            files.push(home.join(".pip/pip.conf"));
        }
        files.extend(
            environment
                .config_home()
                .map(|home| home.join("pip/pip.conf")),
        );
        files.extend(
            environment
                .path(VIRTUAL_ENV)
                .map(|venv| venv.join("pip.conf")),
        );
        match environment.path(PIP_CONFIG_FILE) {
            // pip's own way to have no configuration.
            Some(file) if file == Path::new("/dev/null") => files.clear(),
            Some(file) => files.push(file),
            None => {}
        }
        for sections in files
            .iter()
            .filter_map(|file| read(file))
            .map(|text| ini::parse(&text))
        {
            for section in ["global", "download", "install"] {
                let value = |key: &str| sections.get(section)?.get(key).map(String::as_str);
                found.set_pip(
                    value("index-url"),
                    value("extra-index-url"),
                    value("find-links"),
                );
            }
        }
        let text = |variable| environment.get(variable)?.into_string().ok();
        found.set_pip(
            text(PIP_INDEX_URL).as_deref(),
            text(PIP_EXTRA_INDEX_URL).as_deref(),
            text(PIP_FIND_LINKS).as_deref(),
        );
        found
    }

    fn set_pip(&mut self, default: Option<&str>, extra: Option<&str>, links: Option<&str>) {
        if let Some(default) = default {
            self.default = url_of(default);
        }
        if let Some(extra) = extra {
            self.extra = extra.split_ascii_whitespace().filter_map(url_of).collect();
        }
        if let Some(links) = links {
            self.directories = links
                .split_ascii_whitespace()
                .filter_map(directory_of)
                .collect();
        }
    }
}

impl fmt::Debug for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Url| shown(url);
        f.debug_struct("Indexes")
            .field("default", &self.default.as_ref().map(shown))
            .field("extra", &self.extra.iter().map(shown).collect::<Vec<_>>())
            .field("directories", &self.directories)
            .finish_non_exhaustive()
    }
}

/// A URL without the credentials in it.
#[must_use]
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Only URLs that cannot have credentials refuse.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// The index that the tools on this machine use when they are told nothing: uv's, or else pip's,
/// as their help says it.
pub(crate) async fn default_of_tools() -> Option<Url> {
    let uv = help("uv", &["pip", "compile", "--help"]);
    if let Some(url) = between(&uv.await.unwrap_or_default(), "(by default: <", ">") {
        return Some(url);
    }
    for (program, arguments) in [
        ("pip3", ["install", "--help"].as_slice()),
        ("python3", &["-m", "pip", "install", "--help"]),
    ] {
        let text = help(program, arguments).await.unwrap_or_default();
        if let Some(url) = between(&text, "Python Package Index (default ", ")") {
            return Some(url);
        }
    }
    None
}

async fn help(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = tokio::process::Command::new(program);
    command
        .args(arguments)
        .env("COLUMNS", "500")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output())
        .await
        .ok()?
        .ok()?;
    String::from_utf8(output.stdout).ok()
}

fn between(text: &str, before: &str, after: &str) -> Option<Url> {
    // Help is broken into lines to fit a terminal.
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let text = words.join(" ");
    let (_, rest) = text.split_once(before)?;
    url_of(rest.split_once(after)?.0)
}

/// The directories of `XDG_CONFIG_DIRS`, which are below `/etc` by default.
fn system_directories(environment: &Environment, etc: &Path) -> impl Iterator<Item = PathBuf> {
    let listed = environment.get(XDG_CONFIG_DIRS);
    let listed = listed.unwrap_or_else(|| etc.join("xdg").into_os_string());
    std::env::split_paths(&listed)
        .filter(|path| path.is_absolute())
        .collect::<Vec<_>>()
        .into_iter()
}

fn read(file: &Path) -> Option<String> {
    let size = fs_err::metadata(file).ok()?.len();
    if size > MAX_FILE {
        return None;
    }
    fs_err::read_to_string(file).ok()
}

/// The URL of an index, which uv lets begin with a name: `NAME=URL`.
fn url_of(text: &str) -> Option<Url> {
    let text = text.trim();
    let is_name = |name: &str| {
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let url = match text.split_once('=') {
        Some((name, url)) if is_name(name) => url,
        _ => text,
    };
    let mut url: Url = url.parse().ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    // Names of packages are put behind.
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Some(url)
}

fn directory_of(text: &str) -> Option<PathBuf> {
    let text = text.trim();
    let path = match text.strip_prefix("file://") {
        Some(path) => path,
        None if text.contains("://") => return None,
        None => text,
    };
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_config::Variable;
    use ohoci_config::environment::HOME;

    fn machine(files: &[(&str, &str)], variables: &[(Variable, &str)]) -> Indexes {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
        }
        let home = (HOME, root.path().join("home").into_os_string());
        let variables = variables
            .iter()
            .map(|(variable, value)| (*variable, value.into()));
        let environment = Environment::of(variables.chain([home]));
        Indexes::of_machine(&environment, &root.path().join("etc"))
    }

    fn urls(indexes: &Indexes) -> Vec<&str> {
        indexes.urls().map(Url::as_str).collect()
    }

    #[test]
    fn the_nearest_place_wins() {
        let system = (
            "etc/pip.conf",
            "[global]\nindex-url = https://system.example/simple\n",
        );
        let user = (
            "home/.config/pip/pip.conf",
            "[install]\nindex-url = https://user.example/simple/\n[global]\n\
             index-url = https://less.example\nextra-index-url =\n  https://extra.example/a\n  \
             https://extra.example/b\n",
        );
        assert_eq!(
            urls(&machine(&[system], &[])),
            ["https://system.example/simple/"]
        );
        assert_eq!(
            urls(&machine(&[system, user], &[])),
            [
                "https://extra.example/a/",
                "https://extra.example/b/",
                "https://user.example/simple/"
            ]
        );
        let pip = (PIP_INDEX_URL, "https://variable.example/simple");
        assert_eq!(
            urls(&machine(&[system], &[pip])),
            ["https://variable.example/simple/"]
        );
        let uv = (UV_DEFAULT_INDEX, "name=https://uv.example/simple");
        assert_eq!(
            urls(&machine(&[system], &[pip, uv])),
            ["https://uv.example/simple/"]
        );
        let none = (PIP_CONFIG_FILE, "/dev/null");
        assert_eq!(urls(&machine(&[system], &[none])), [""; 0]);
    }

    #[test]
    fn uv_is_told_only_what_it_does_not_know() {
        let pip = machine(
            &[],
            &[
                (PIP_INDEX_URL, "https://me:secret@pip.example/simple"),
                (PIP_FIND_LINKS, "/wheels https://files.example/ relative"),
            ],
        );
        assert_eq!(
            pip.variables_for_uv(),
            [
                (
                    "UV_DEFAULT_INDEX",
                    "https://me:secret@pip.example/simple/".to_owned()
                ),
                ("UV_FIND_LINKS", "/wheels".to_owned())
            ]
        );
        assert!(!format!("{pip:?}").contains("secret"));
        let uv = machine(
            &[(
                "home/.config/uv/uv.toml",
                "extra-index-url = ['https://extra.example/']\n[[index]]\n\
                 url = 'https://named.example/'\n[[index]]\nurl = 'https://uv.example/'\n\
                 default = true\n[[index]]\nurl = 'https://explicit.example'\nexplicit = true\n",
            )],
            &[],
        );
        assert_eq!(
            urls(&uv),
            [
                "https://extra.example/",
                "https://named.example/",
                "https://uv.example/"
            ]
        );
        assert!(uv.variables_for_uv().is_empty());
    }

    #[test]
    fn a_default_of_the_tools_counts_where_only_directories_are_configured() {
        let wheels = machine(&[], &[(PIP_FIND_LINKS, "/wheels")]);
        let asked = wheels.or_default(url_of("https://asked.example/simple"));
        assert_eq!(urls(&asked), ["https://asked.example/simple/"]);
        assert_eq!(asked.directories, [Path::new("/wheels")]);
        let told = machine(&[], &[(PIP_INDEX_URL, "https://pip.example/simple")]);
        let told = told.or_default(url_of("https://asked.example/simple"));
        assert_eq!(urls(&told), ["https://pip.example/simple/"]);
    }

    #[test]
    fn help_says_what_the_default_is() {
        let uv = "--default-index <INDEX>\n   The default package index (by default:\n   \
                  <https://index.example/simple>) [env: X]";
        let pip = "  -i, --index-url <url>  Base URL of the Python Package Index (default \
                   https://index.example/simple). This should point";
        let expected = Some("https://index.example/simple/".parse().unwrap());
        assert_eq!(between(uv, "(by default: <", ">"), expected);
        assert_eq!(
            between(pip, "Python Package Index (default ", ")"),
            expected
        );
        assert_eq!(between("", "(by default: <", ">"), None);
    }
}
