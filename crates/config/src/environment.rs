//! Every environment variable that ohoci reads, and the one way to read them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An environment variable that ohoci reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the documentation. The same text documents the constant.
    pub meaning: &'static str,
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name)
    }
}

/// Declares variables; their doc comments are kept for the documentation as well.
macro_rules! variables {
    ($($(#[doc = $meaning:literal])+ $name:ident;)+) => {
        $(
            $(#[doc = $meaning])+
            pub const $name: Variable = Variable {
                name: stringify!($name),
                meaning: concat!($($meaning),+).trim_ascii_start(),
            };
        )+

        /// All of them, in the order in which they are documented.
        pub const ALL: &[Variable] = &[$($name),+];
    };
}

variables! {
    /// The home directory, below which the directories of the other variables default to. Without
    /// it the password database is asked.
    HOME;
    /// Where credential helpers (`docker-credential-…`) and `bwrap` are looked for. Entries that are
    /// not absolute are passed over.
    PATH;
    /// Holds `ohoci/config.toml`, `containers/auth.json` and `containers/certs.d`; `~/.config` by
    /// default.
    XDG_CONFIG_HOME;
    /// Holds ohoci's content-addressed cache, in `ohoci`; `~/.cache` by default.
    XDG_CACHE_HOME;
    /// The directory of ohoci's cache itself, before `XDG_CACHE_HOME`. A `--cache-dir` on the
    /// command line goes before it.
    OHOCI_CACHE_DIR;
    /// The directory of unpacked layers, before `directory` in the `[store]` of `ohoci/config.toml`;
    /// `unpacked` in the cache by default.
    OHOCI_STORE_DIR;
    /// The most bytes that the layers of one image may unpack to, before `unpacked-bytes` in the
    /// `[limits]` of `ohoci/config.toml`; 64 GiB by default.
    OHOCI_MAX_UNPACKED_BYTES;
    /// The most files, directories and links that the layers of one image may have, before
    /// `entries` in `[limits]`; 4000000 by default.
    OHOCI_MAX_ENTRIES;
    /// The most bytes of names, link targets and extended attributes that the layers of one image
    /// may have, before `name-bytes` in `[limits]`; 1 GiB by default.
    OHOCI_MAX_NAME_BYTES;
    /// Holds `containers/auth.json`, where podman and skopeo keep credentials until the session
    /// ends; `/run/containers/UID/auth.json` when it is not set.
    XDG_RUNTIME_DIR;
    /// The file with credentials, in the place of all that would be searched otherwise. An
    /// `--authfile` on the command line goes before it.
    REGISTRY_AUTH_FILE;
    /// The directory of Docker's `config.json`; `~/.docker` by default.
    DOCKER_CONFIG;
    /// The content of a Docker `config.json`, as CI systems hand it to jobs. It is searched before
    /// any file but `--authfile`.
    DOCKER_AUTH_CONFIG;
    /// The proxy for plain HTTP. Its lower-case spelling is read too.
    HTTP_PROXY;
    /// The proxy for HTTPS. Its lower-case spelling is read too.
    HTTPS_PROXY;
    /// The proxy where there is no more special one. Its lower-case spelling is read too.
    ALL_PROXY;
    /// Hosts, domains and address ranges, separated by commas, that are reached without a proxy.
    /// Its lower-case spelling is read too.
    NO_PROXY;
    /// A file of certificates that are trusted in the place of the machine's.
    SSL_CERT_FILE;
    /// A directory of certificates that are trusted in the place of the machine's.
    SSL_CERT_DIR;
    /// The index of Python packages, as uv reads it. It goes before all of uv's files.
    UV_DEFAULT_INDEX;
    /// The older spelling of `UV_DEFAULT_INDEX`.
    UV_INDEX_URL;
    /// Further indexes, separated by spaces, that uv asks first; each may be `NAME=URL`.
    UV_INDEX;
    /// The older spelling of `UV_INDEX`.
    UV_EXTRA_INDEX_URL;
    /// Directories with Python packages, separated by commas, as uv reads them.
    UV_FIND_LINKS;
    /// uv's configuration file, in the place of all that would be searched otherwise.
    UV_CONFIG_FILE;
    /// The index of Python packages, as pip reads it. It counts where uv is told nothing.
    PIP_INDEX_URL;
    /// Further indexes, separated by spaces, as pip reads them.
    PIP_EXTRA_INDEX_URL;
    /// Directories with Python packages, separated by spaces, as pip reads them.
    PIP_FIND_LINKS;
    /// pip's configuration file, after those that it searches; `/dev/null` is none at all.
    PIP_CONFIG_FILE;
    /// The active virtual environment, which may hold a `pip.conf`.
    VIRTUAL_ENV;
    /// Directories with configuration of the system, separated by colons; `/etc/xdg` by default.
    XDG_CONFIG_DIRS;
    /// The registry of npm packages, before all of npm's files.
    NPM_CONFIG_REGISTRY;
    /// npm's configuration file of the user; `~/.npmrc` by default.
    NPM_CONFIG_USERCONFIG;
    /// npm's configuration file of the system; `etc/npmrc` below npm's prefix by default.
    NPM_CONFIG_GLOBALCONFIG;
    /// conda's settings, in the place of all files that would be searched otherwise.
    CONDARC;
    /// The channels of conda packages, separated by commas, before those of `.condarc`. A `--channel` on
    /// the command line goes before both.
    CONDA_CHANNELS;
    /// What conda's channels are below that are called by name, before `.condarc`.
    CONDA_CHANNEL_ALIAS;
    /// Whether a channel of conda goes before those behind it when packages are chosen: `strict`, `flexible` (the
    /// default) or `disabled`, before `channel_priority` in `.condarc`.
    CONDA_CHANNEL_PRIORITY;
    /// The version of glibc that conda packages are chosen for, before that of the image's base.
    CONDA_OVERRIDE_GLIBC;
    /// The version of the Linux kernel that conda packages are chosen for; 3.10 by default.
    CONDA_OVERRIDE_LINUX;
    /// The version of CUDA that conda packages are chosen for; none by default.
    CONDA_OVERRIDE_CUDA;
    /// The passphrase of private keys that images are signed with, as cosign reads it; it may be set to
    /// nothing. Where it is not set, the terminal is asked.
    COSIGN_PASSWORD;
    /// The time, in seconds since 1970, that images and files are said to be created at.
    SOURCE_DATE_EPOCH;
    /// The commit of OpenHands' software-agent-sdk that agent-server and benchmark tags name.
    SDK_SHA;
    /// That commit, where `SDK_SHA` is not set; agent-server tags only.
    GITHUB_SHA;
    /// The ref of the software-agent-sdk that agent-server tags name.
    SDK_REF;
    /// That ref, where `SDK_REF` is not set.
    GITHUB_REF;
    /// What the tags of finished benchmark images begin with, in the place of the commit and the
    /// Dockerfile's hash.
    IMAGE_TAG_PREFIX;
    /// The repository of OpenHands' V0 runtime images, by which a base that is one already is
    /// recognized.
    OH_RUNTIME_RUNTIME_IMAGE_REPO;
    /// The directory of Hugging Face's files, in whose `hub` datasets are looked for that are named
    /// and not files; `~/.cache/huggingface` by default.
    HF_HOME;
    /// The directory of Hugging Face's downloads itself, before `HF_HOME`.
    HF_HUB_CACHE;
    /// The mirror of Hugging Face's hub, for the address of a dataset that is to be downloaded.
    HF_ENDPOINT;
}

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Where values of environment variables come from: the process, or a test.
#[derive(Clone)]
pub struct Environment {
    lookup: Arc<Lookup>,
    home: Option<PathBuf>,
    user_id: Option<u32>,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn of_process() -> Self {
        Self {
            lookup: Arc::new(|name| std::env::var_os(name)),
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            user_id: Some(rustix::process::getuid().as_raw()),
        }
    }

    /// An environment of exactly these variables. There is no home directory without
    /// [`HOME`], and no user.
    #[must_use]
    pub fn of(variables: impl IntoIterator<Item = (Variable, OsString)>) -> Self {
        let variables: BTreeMap<_, _> = variables
            .into_iter()
            .map(|(variable, value)| (variable.name, value))
            .collect();
        let home = variables.get(HOME.name).map(PathBuf::from);
        Self {
            lookup: Arc::new(move |name| variables.get(name).cloned()),
            home,
            user_id: None,
        }
    }

    /// The same variables for the user with this number.
    #[must_use]
    pub fn for_user(mut self, user_id: u32) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// A variable's value; one that is set to nothing counts as not set.
    #[must_use]
    pub fn get(&self, variable: Variable) -> Option<OsString> {
        (self.lookup)(variable.name).filter(|value| !value.is_empty())
    }

    /// A variable's value, which may be nothing; `None` where it is not set at all.
    #[must_use]
    pub fn get_or_nothing(&self, variable: Variable) -> Option<OsString> {
        (self.lookup)(variable.name)
    }

    /// A variable that holds a path.
    #[must_use]
    pub fn path(&self, variable: Variable) -> Option<PathBuf> {
        self.get(variable).map(PathBuf::from)
    }

    /// The home directory.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The number of the user that this process runs as.
    #[must_use]
    pub fn user_id(&self) -> Option<u32> {
        self.user_id
    }

    /// [`XDG_CONFIG_HOME`] or its default.
    #[must_use]
    pub fn config_home(&self) -> Option<PathBuf> {
        self.base_directory(XDG_CONFIG_HOME, ".config")
    }

    /// [`XDG_CACHE_HOME`] or its default.
    #[must_use]
    pub fn cache_home(&self) -> Option<PathBuf> {
        self.base_directory(XDG_CACHE_HOME, ".cache")
    }

    /// The XDG base directory specification has relative paths ignored.
    fn base_directory(&self, variable: Variable, default: &str) -> Option<PathBuf> {
        self.path(variable)
            .filter(|path| path.is_absolute())
            .or_else(|| self.home().map(|home| home.join(default)))
    }
}

impl fmt::Debug for Environment {
    /// Leaves out the values: there may be secrets among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("home", &self.home)
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_says_what_it_means() {
        for variable in ALL {
            assert!(variable.meaning.ends_with('.'), "{variable}");
            assert!(!variable.meaning.starts_with(' '), "{variable}");
        }
    }

    #[test]
    fn the_guide_has_every_variable_with_its_meaning() {
        let guide = include_str!("../../../docs/guide.md");
        for variable in ALL {
            let row = format!("| `{}` | {} |", variable.name, variable.meaning);
            assert!(guide.contains(&row), "docs/guide.md has no {row}");
        }
    }

    #[test]
    fn base_directories_default_to_the_home_directory_and_ignore_relative_paths() {
        let unset = Environment::of([(HOME, "/home/me".into())]);
        assert_eq!(unset.config_home(), Some("/home/me/.config".into()));
        let relative = Environment::of([
            (HOME, "/home/me".into()),
            (XDG_CONFIG_HOME, "here".into()),
            (XDG_CACHE_HOME, "/cache".into()),
        ]);
        assert_eq!(relative.config_home(), Some("/home/me/.config".into()));
        assert_eq!(relative.cache_home(), Some("/cache".into()));
        assert_eq!(Environment::of([]).config_home(), None);
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set() {
        let environment = Environment::of([(DOCKER_CONFIG, "".into())]);
        assert_eq!(environment.get(DOCKER_CONFIG), None);
    }

    #[test]
    fn values_are_not_shown() {
        let environment = Environment::of([(DOCKER_AUTH_CONFIG, "hunter2".into())]);
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
