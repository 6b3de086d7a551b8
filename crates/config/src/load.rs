//! Reads the configuration files and lays one over the other.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::environment::Environment;
use super::error::ConfigError;
use super::limits::{LimitSettings, NetworkSettings, StoreSettings};
use super::mirrors::{MirrorTable, PackageMirrors};
use super::project::ComposeDefaults;
use super::registries::{EVERY_HOST, RegistrySettings, RegistryTable, RegistryTables};
use super::trust::TrustSettings;

/// The project's file, in the working directory.
pub const PROJECT_FILE: &str = "ohoci.toml";

/// Largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// The user's file: `ohoci/config.toml` below `$XDG_CONFIG_HOME`.
#[must_use]
pub(crate) fn user_file(environment: &Environment) -> Option<PathBuf> {
    Some(environment.config_home()?.join("ohoci/config.toml"))
}

/// What the configuration files say. Flags go before it; what it leaves open is up to the code
/// that asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    user: RegistryTables,
    project: RegistryTables,
    compose: ComposeDefaults,
    mirrors: PackageMirrors,
    limits: LimitSettings,
    network: NetworkSettings,
    store: StoreSettings,
    trust: TrustSettings,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UserFile {
    registry: RegistryTables,
    mirrors: MirrorTable,
    limits: LimitSettings,
    network: NetworkSettings,
    store: StoreSettings,
    trust: TrustSettings,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProjectFile {
    registry: RegistryTables,
    mirrors: MirrorTable,
    compose: ComposeDefaults,
}

impl Config {
    /// Reads the user's file and, in `directory`, the project's. A file that is not there is
    /// empty. Paths in a file are relative to the directory that the file is in.
    ///
    /// Of registries a project may say only how fast they are asked, not how they are reached:
    /// its file may come with a clone of a stranger's repository.
    ///
    /// # Errors
    /// When a file cannot be read, is larger than 1 MiB, or has something in it that is not
    /// known, not possible or not permitted.
    pub fn load(environment: &Environment, directory: &Path) -> Result<Self, ConfigError> {
        let mut user = match user_file(environment) {
            Some(path) => read::<UserFile>(&path)?,
            None => UserFile::default(),
        };
        if let Some(home) = user_file(environment).as_deref().and_then(Path::parent) {
            resolve(&mut user.registry, home);
            user.trust.resolve(home);
            if let Some(directory) = &mut user.store.directory {
                *directory = home.join(&*directory);
            }
        }
        if let (Some(fault), Some(path)) = (user.trust.fault(), user_file(environment)) {
            return Err(ConfigError::new(&path, fault));
        }
        let project_file = directory.join(PROJECT_FILE);
        let mut project = read::<ProjectFile>(&project_file)?;
        for (host, table) in &project.registry {
            if let Some(key) = table.reaches_elsewhere() {
                return Err(ConfigError::new(
                    &project_file,
                    format!("[registry.\"{host}\"] sets `{key}`, which a project may not"),
                )
                .hinted(
                    "whoever wrote the project would decide where your credentials go; say it in \
                     your own ohoci/config.toml",
                ));
            }
        }
        project.compose.resolve(directory);
        let mut mirrors = PackageMirrors::default();
        user.mirrors.apply_to(&mut mirrors);
        project.mirrors.apply_to(&mut mirrors);
        Ok(Self {
            user: user.registry,
            project: project.registry,
            compose: project.compose,
            mirrors,
            limits: user.limits,
            network: user.network,
            store: user.store,
            trust: user.trust,
        })
    }

    /// The settings for a host as it stands in references (`docker.io` for Docker Hub).
    ///
    /// Each setting is taken from the project's table for the host, else the user's, else the
    /// project's table for every host, else the user's. A list replaces the one below it.
    #[must_use]
    pub fn registry(&self, host: &str) -> RegistrySettings {
        let mut settings = RegistrySettings::default();
        for key in [EVERY_HOST, host] {
            for tables in [&self.user, &self.project] {
                if let Some(table) = tables.get(key) {
                    table.apply_to(&mut settings);
                }
            }
        }
        settings
    }

    /// Where packages are taken from; the project's lists replace the user's.
    #[must_use]
    pub fn mirrors(&self) -> &PackageMirrors {
        &self.mirrors
    }

    /// What an image may unpack to; only the user's file says so.
    #[must_use]
    pub fn limits(&self) -> LimitSettings {
        self.limits
    }

    /// How slow a server may be; only the user's file says so.
    #[must_use]
    pub fn network(&self) -> NetworkSettings {
        self.network
    }

    /// Where unpacked layers are kept; only the user's file says so.
    #[must_use]
    pub fn store(&self) -> &StoreSettings {
        &self.store
    }

    /// Which images may be used; only the user's file says so.
    #[must_use]
    pub fn trust(&self) -> &TrustSettings {
        &self.trust
    }

    /// What the project wants of `ohoci compose`.
    #[must_use]
    pub fn compose(&self) -> &ComposeDefaults {
        &self.compose
    }
}

fn resolve(tables: &mut RegistryTables, directory: &Path) {
    tables
        .values_mut()
        .for_each(|table: &mut RegistryTable| table.resolve(directory));
}

fn read<T: Default + DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(T::default());
        }
        Err(error) => return Err(ConfigError::new(path, reason(&error))),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ConfigError::new(path, reason(&error)))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(ConfigError::new(path, "it is larger than 1 MiB"));
    }
    let text =
        super::text::decode(bytes).map_err(|error| ConfigError::new(path, reason(&error)))?;
    toml::from_str(&text).map_err(|error| ConfigError::parse(path, &text, &error))
}

/// Why reading failed, without the path, which the error has already.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use tempfile::TempDir;

    use super::super::environment::XDG_CONFIG_HOME;
    use super::super::project::IfExists;
    use super::super::registries::{ClientIdentity, Mirror};
    use super::*;
    use ohoci_image::Reference;
    use ohoci_image::label::Position;

    struct Machine {
        directory: TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs_err::create_dir_all(directory.path().join("config/ohoci")).unwrap();
            fs_err::create_dir_all(directory.path().join("project")).unwrap();
            Self { directory }
        }

        fn user(self, text: &str) -> Self {
            fs_err::write(self.path("config/ohoci/config.toml"), text).unwrap();
            self
        }

        fn project(self, text: &str) -> Self {
            fs_err::write(self.path("project/ohoci.toml"), text).unwrap();
            self
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn load(&self) -> Result<Config, ConfigError> {
            let environment = Environment::of([(XDG_CONFIG_HOME, self.path("config").into())]);
            Config::load(&environment, &self.path("project"))
        }

        fn complaint(&self) -> (String, Option<String>) {
            let error = self.load().unwrap_err();
            let text = error.to_string();
            let at = format!("{}/", self.directory.path().display());
            (text.replace(&at, ""), error.hint().map(str::to_owned))
        }
    }

    #[test]
    fn without_files_nothing_is_set() {
        assert_eq!(Machine::new().load().unwrap(), Config::default());
        assert_eq!(
            Config::load(&Environment::of([]), Path::new("/nonexistent")).unwrap(),
            Config::default()
        );
    }

    #[test]
    fn every_registry_setting_is_read_and_paths_are_relative_to_the_file() {
        let machine = Machine::new().user(
            r#"
            [registry."registry.example:5000"]
            plain-http = true
            mirrors = ["mirror.example/proxy/", "localhost:5001"]
            ca = ["/etc/ssl/own-ca.pem", "ca.pem"]
            client-certificate = "me.cert"
            client-key = "me.key"
            requests-per-second = 20
            concurrency = 8
            single-post = true
            "#,
        );
        let settings = machine.load().unwrap().registry("registry.example:5000");
        let home = machine.path("config/ohoci");
        assert_eq!(
            settings,
            RegistrySettings {
                plain_http: Some(true),
                mirrors: vec![
                    Mirror {
                        host: "mirror.example".to_owned(),
                        prefix: "proxy".to_owned(),
                    },
                    Mirror {
                        host: "localhost:5001".to_owned(),
                        prefix: String::new(),
                    },
                ],
                ca: vec!["/etc/ssl/own-ca.pem".into(), home.join("ca.pem")],
                client_identity: Some(ClientIdentity {
                    certificate: home.join("me.cert"),
                    key: home.join("me.key"),
                }),
                requests_per_second: Some(20.0),
                concurrency: NonZeroU32::new(8),
                single_post: Some(true),
                ..RegistrySettings::default()
            }
        );
        assert_eq!(
            machine.load().unwrap().registry("registry.example"),
            RegistrySettings::default()
        );
    }

    #[test]
    fn the_host_goes_before_every_host_and_the_project_before_the_user() {
        let config = Machine::new()
            .user(
                r#"
                [registry."*"]
                concurrency = 1
                requests-per-second = 1.5
                single-post = false
                mirrors = ["one.example"]
                [registry."registry.example"]
                concurrency = 2
                plain-http = true
                "#,
            )
            .project(
                r#"
                [registry."*"]
                concurrency = 3
                single-post = true
                [registry."registry.example"]
                requests-per-second = 2.5
                "#,
            )
            .load()
            .unwrap();
        let special = config.registry("registry.example");
        assert_eq!(special.concurrency, NonZeroU32::new(2));
        assert_eq!(special.requests_per_second, Some(2.5));
        assert_eq!(special.single_post, Some(true));
        assert_eq!(special.plain_http, Some(true));
        let other = config.registry("other.example");
        assert_eq!(other.concurrency, NonZeroU32::new(3));
        assert_eq!(other.requests_per_second, Some(1.5));
        assert_eq!(other.mirrors.first().unwrap().to_string(), "one.example");
    }

    #[test]
    fn only_the_user_says_what_foreign_content_may_cost() {
        let text = "[limits]\nunpacked-bytes = 5\n[network]\nleast-bytes-per-second = 7\n\
            [store]\ndirectory = \"layers\"\nmost-bytes = 9\n";
        let config = Machine::new().user(text).load().unwrap();
        assert_eq!(config.limits().unpacked_bytes, Some(5));
        let directory = config.store().directory.clone().unwrap();
        assert!(directory.ends_with("config/ohoci/layers"), "{directory:?}");
        assert_eq!(config.store().most_bytes, Some(9));
        assert_eq!(config.network().least_bytes_per_second, Some(7));
        let (complaint, _) = Machine::new().project(text).complaint();
        assert!(complaint.contains("unknown field `limits`"), "{complaint}");
    }

    #[test]
    fn only_the_user_says_whom_to_trust() {
        let text = "[trust]\ndefault = \"reject\"\n[[trust.rule]]\nimages = [\"registry.example/*\"]\n\
            keys = [\"base.pub\"]\nplatforms = [\"linux/amd64\"]\n";
        let config = Machine::new().user(text).load().unwrap();
        let rule = config.trust().rule.first().unwrap();
        assert!(rule.keys[0].ends_with("config/ohoci/base.pub"), "{rule:?}");
        let (complaint, _) = Machine::new().project(text).complaint();
        assert!(complaint.contains("unknown field `trust`"), "{complaint}");
        for (rule, words) in [
            ("images = [\"a\"]", "asks for nothing"),
            ("reject = true", "names no images"),
            (
                "images = [\"a\"]\nattestations = [\"b\"]\nreject = true",
                "names no keys",
            ),
            ("images = [\"a\"]\ndigests = [\"sha256:1\"]", "wrong length"),
        ] {
            let (complaint, _) = Machine::new()
                .user(&format!("[[trust.rule]]\n{rule}\n"))
                .complaint();
            assert!(complaint.contains(words), "{rule}: {complaint}");
        }
    }

    #[test]
    fn a_project_does_not_say_how_registries_are_reached() {
        for line in [
            "plain-http = true",
            "mirrors = [\"elsewhere.example\"]",
            "ca = [\"ca.pem\"]",
            "client-certificate = \"c\"\nclient-key = \"k\"",
        ] {
            let (text, hint) = Machine::new()
                .project(&format!("[registry.\"registry.example\"]\n{line}\n"))
                .complaint();
            assert!(
                text.starts_with("project/ohoci.toml: [registry.\"registry.example\"] sets `"),
                "{text}"
            );
            assert!(hint.unwrap().contains("ohoci/config.toml"));
        }
    }

    #[test]
    fn compose_defaults_have_the_names_of_the_flags() {
        let machine = Machine::new().project(
            r#"
            [compose]
            base = "oci:base"
            push = ["registry.example/a:1"]
            deps = ["registry.example/deps:1", "oci-archive:/deps.tar:x"]
            layer = ["tree:/opt", "/abs.tar"]
            platform = ["linux/amd64", "linux/arm64/v8"]
            all-platforms = false
            position = "bottom"
            env = { B = "2", A = "${A:-1}" }
            unset-env = ["C"]
            entrypoint = ["/bin/run", "--now"]
            keep-cmd = true
            cmd = []
            user = "1000:1000"
            workdir = "/work"
            label = { "org.example.a" = "b" }
            annotation = { c = "d" }
            expose = ["8000/tcp"]
            volume = ["/data"]
            stop-signal = "SIGINT"
            if-exists = "skip"
            no-upload = true
            "#,
        );
        let config = machine.load().unwrap();
        let compose = config.compose();
        let project = machine.path("project");
        assert_eq!(
            compose.base,
            Some(Reference::Layout {
                path: project.join("base"),
                tag: None
            })
        );
        assert_eq!(
            compose.deps.last().unwrap().to_string(),
            "oci-archive:/deps.tar:x"
        );
        assert_eq!(
            compose.layer,
            [
                format!("{}/tree:/opt", project.display()),
                "/abs.tar".to_owned()
            ]
        );
        assert_eq!(
            compose.platform.last().unwrap().to_string(),
            "linux/arm64/v8"
        );
        assert_eq!(compose.position, Some(Position::Bottom));
        assert_eq!(compose.if_exists, Some(IfExists::Skip));
        assert_eq!(compose.env.len(), 2);
        assert_eq!(compose.cmd, Some(vec![]));
        assert_eq!(compose.keep_cmd, Some(true));
    }

    #[test]
    fn an_unknown_key_is_placed_and_the_near_name_is_hinted() {
        let (text, hint) = Machine::new()
            .user("\n[registry.\"registry.example\"]\nplainhttp = true\n")
            .complaint();
        assert!(
            text.starts_with("config/ohoci/config.toml:3:1: unknown field `plainhttp`"),
            "{text}"
        );
        assert_eq!(hint.as_deref(), Some("did you mean \"plain-http\"?"));
        let (text, hint) = Machine::new()
            .project("[compose]\nposition = \"botom\"\n")
            .complaint();
        assert!(text.starts_with("project/ohoci.toml:2:12: "), "{text}");
        assert_eq!(hint.as_deref(), Some("did you mean \"bottom\"?"));
    }

    #[test]
    fn the_users_file_has_no_project_defaults() {
        let (text, hint) = Machine::new()
            .user("[compose]\nposition = \"top\"\n")
            .complaint();
        assert!(text.contains("unknown field `compose`"), "{text}");
        assert_eq!(hint, None);
    }

    #[test]
    fn impossible_values_are_refused_where_they_stand() {
        for (table, at, words) in [
            ("requests-per-second = 0.0", "2:23", "above zero"),
            ("requests-per-second = inf", "2:23", "above zero"),
            ("concurrency = 0", "2:15", "nonzero"),
            ("mirrors = [\"https://m.example\"]", "2:11", "no mirror"),
            ("client-key = \"k\"", "2:1", "client-certificate"),
            ("plain-http = \"yes\"", "2:14", "boolean"),
            ("plain-http", "2:11", ""),
        ] {
            let (text, _) = Machine::new()
                .project(&format!("[registry.\"registry.example\"]\n{table}\n"))
                .complaint();
            assert!(text.contains(words), "{table}: {text}");
            assert!(
                text.starts_with(&format!("project/ohoci.toml:{at}: "))
                    || table.starts_with("client-key"),
                "{table}: {text}"
            );
        }
        for (host, words) in [
            ("https://registry.example", "no host"),
            ("registry.example/path", "no host"),
            ("index.docker.io", "docker.io"),
        ] {
            let (text, _) = Machine::new()
                .user(&format!("[registry.\"{host}\"]\n"))
                .complaint();
            assert!(text.contains(words), "{host}: {text}");
        }
        let (text, _) = Machine::new()
            .project("[compose]\ndeps = [\n  \"registry.example/UPPER\",\n]\n")
            .complaint();
        assert!(text.starts_with("project/ohoci.toml:2:8: "), "{text}");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let machine = Machine::new();
        fs_err::create_dir(machine.path("project/ohoci.toml")).unwrap();
        let (text, _) = machine.complaint();
        assert_eq!(text, "project/ohoci.toml: is a directory");
        let (text, _) = Machine::new()
            .project(&"#".repeat((1 << 20) + 1))
            .complaint();
        assert_eq!(text, "project/ohoci.toml: it is larger than 1 MiB");
    }
}
