//! Finds the credential for a repository.

use std::path::Path;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::files::{self, Asked, BadEntry, Content};
use super::helper::{Helper, Helpers, TIME_LIMIT};
use super::keys::Scope;
use super::locations::{Location, locations};
use crate::{Credential, CredentialError, CredentialSource};
use ohoci_config::Environment;

/// The credentials that this machine is configured with, for Docker, podman and their kin.
///
/// The first location that has a credential wins. Within one location, that is: the helper set for the
/// host (`credHelpers`), else the entry with the longest path that covers the repository, else
/// the helper set for all hosts (`credsStore`), else the entry for the whole host. Podman knows
/// no `credsStore` and Docker knows no paths, so that each finds in its own files what it finds
/// without ohoci.
///
/// Files are read when first needed and once, so a pipe will do; helpers are asked each question
/// once.
#[derive(Debug)]
pub struct ConfiguredCredentials {
    locations: Vec<OpenPlace>,
    helpers: Helpers,
}

struct OpenPlace {
    location: Location,
    content: OnceCell<Result<Option<Content>, CredentialError>>,
}

impl ConfiguredCredentials {
    /// Credentials from the locations that `environment` names, or, with an `authfile`, from that
    /// file alone. Nothing is read yet.
    #[must_use]
    pub fn new(environment: Environment, authfile: Option<&Path>) -> Self {
        Self {
            locations: locations(&environment, authfile)
                .into_iter()
                .map(|location| OpenPlace {
                    location,
                    content: OnceCell::new(),
                })
                .collect(),
            helpers: Helpers::new(environment, TIME_LIMIT),
        }
    }
}

#[async_trait]
impl CredentialSource for ConfiguredCredentials {
    async fn credential(
        &self,
        host: &str,
        repository: &str,
    ) -> Result<Credential, CredentialError> {
        for open in &self.locations {
            let content = open
                .content
                .get_or_init(|| async { files::read(&open.location) })
                .await;
            let content = match content {
                Ok(Some(content)) => content,
                Ok(None) => continue,
                Err(error) => return Err(error.clone()),
            };
            if let Some(found) =
                search(&self.helpers, &open.location, content, host, repository).await?
            {
                return Ok(found);
            }
        }
        Ok(Credential::Anonymous)
    }
}

/// Finds the credential in one location.
async fn search(
    helpers: &Helpers,
    location: &Location,
    content: &Content,
    host: &str,
    repository: &str,
) -> Result<Option<Credential>, CredentialError> {
    let bad = |entry: BadEntry| bad_entry(location, &entry);
    let asked = content.helper(host);
    let (own, store) = match asked {
        Some(asked) if asked.is_for_host() => (Some(asked), None),
        other => (None, other),
    };
    if let Some(found) = ask(helpers, location, own).await? {
        return Ok(Some(found));
    }
    if let Some(found) = content.for_path(host, repository).map_err(bad)? {
        return Ok(Some(found));
    }
    if let Some(found) = ask(helpers, location, store).await? {
        return Ok(Some(found));
    }
    content.for_host(host).map_err(bad)
}

async fn ask(
    helpers: &Helpers,
    location: &Location,
    asked: Option<Asked>,
) -> Result<Option<Credential>, CredentialError> {
    match asked {
        Some(asked) => {
            helpers
                .get(&Helper::of(location, &asked), &asked.server)
                .await
        }
        None => Ok(None),
    }
}

fn bad_entry(location: &Location, entry: &BadEntry) -> CredentialError {
    CredentialError::new(format!(
        "cannot use the entry {:?} in {location}: {}",
        entry.key, entry.why
    ))
    .hinted(format!(
        "`ohoci login {}` writes it anew",
        Scope::of_key(&entry.key, false).key()
    ))
}

impl std::fmt::Debug for OpenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.location)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::testing::{FAILING, Machine, user};
    use super::*;
    use ohoci_config::Variable;
    use ohoci_config::environment::{
        DOCKER_AUTH_CONFIG, DOCKER_CONFIG, HOME, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR,
    };

    const HOSTS: &str = include_str!("../../../../fixtures/credentials/hosts.json");
    const SPELLINGS: &str = include_str!("../../../../fixtures/credentials/spellings.json");
    const PATHS: &str = include_str!("../../../../fixtures/credentials/paths.json");
    const LEGACY: &str = include_str!("../../../../fixtures/credentials/legacy.dockercfg");
    const IDENTITY: &str = include_str!("../../../../fixtures/credentials/identity-token.json");
    const DESKTOP: &str = include_str!("../../../../fixtures/credentials/docker-desktop.json");

    const DOCKER_FILE: &str = "home/.docker/config.json";
    const PODMAN_FILE: &str = "run/containers/auth.json";

    async fn found(machine: &Machine, name: &str) -> Result<Credential, CredentialError> {
        let (host, repository) = name.split_once('/').unwrap_or((name, ""));
        ConfiguredCredentials::new(machine.environment(), None)
            .credential(host, repository)
            .await
    }

    #[tokio::test]
    async fn the_files_of_docker_and_podman_are_understood() {
        for (content, name, wanted) in [
            (HOSTS, "registry.example/a", user("plain", "host")),
            (HOSTS, "docker.io/library/debian", user("plain", "hub")),
            (HOSTS, "localhost/a", user("local", "host")),
            (HOSTS, "localhost:5000/a", user("local", "host-5000")),
            (HOSTS, "192.0.2.45:5000/a", user("address", "port")),
            (HOSTS, "url.example/a", user("url", "api")),
            (HOSTS, "sub.registry.example/a", Credential::Anonymous),
            (HOSTS, "registry.example:5000/a", Credential::Anonymous),
            (
                SPELLINGS,
                "docker.io/library/debian",
                user("docker", "login"),
            ),
            (SPELLINGS, "localhost:5000/a", user("https", "port")),
            (SPELLINGS, "plain.example/a", user("http", "scheme")),
            (SPELLINGS, "api.example/a", user("bare", "api")),
            (PATHS, "registry.example/org/image", user("org", "secret")),
            (PATHS, "registry.example/org", user("org", "secret")),
            (PATHS, "registry.example/organ", user("all", "secret")),
            (
                PATHS,
                "docker.io/library/busybox",
                user("library", "busybox"),
            ),
            (
                PATHS,
                "docker.io/library/notbusybox",
                user("library", "other"),
            ),
            (PATHS, "docker.io/vendor/product", user("vendor", "secret")),
            (PATHS, "docker.io/other/product", user("hub", "secret")),
            (
                IDENTITY,
                "registry.example/a",
                Credential::IdentityToken("a refresh token".into()),
            ),
            ("{}", "registry.example/a", Credential::Anonymous),
        ] {
            for file in [DOCKER_FILE, PODMAN_FILE] {
                let machine = Machine::new().file(file, content);
                assert_eq!(found(&machine, name).await, Ok(wanted.clone()), "{name}");
            }
        }
    }

    #[tokio::test]
    async fn a_dockercfg_is_read_last() {
        let machine = Machine::new().file("home/.dockercfg", LEGACY);
        assert_eq!(
            found(&machine, "docker.io/a/b").await,
            Ok(user("docker", "io-legacy"))
        );
        assert_eq!(
            found(&machine, "registry.example/a").await,
            Ok(user("url", "legacy"))
        );
        let machine = machine.file(DOCKER_FILE, HOSTS);
        assert_eq!(
            found(&machine, "docker.io/a/b").await,
            Ok(user("plain", "hub"))
        );
    }

    #[tokio::test]
    async fn the_first_place_with_a_credential_wins() {
        let machine = Machine::new()
            .file(PODMAN_FILE, r#"{"auths": {"registry.example": {}}}"#)
            .file("home/.config/containers/auth.json", PATHS)
            .file(DOCKER_FILE, HOSTS);
        assert_eq!(
            found(&machine, "registry.example/a").await,
            Ok(user("all", "secret"))
        );
        assert_eq!(
            found(&machine, "localhost/a").await,
            Ok(user("local", "host"))
        );
    }

    #[tokio::test]
    async fn variables_name_places() {
        let machine = Machine::new()
            .file(PODMAN_FILE, PATHS)
            .file("ci/auth.json", IDENTITY)
            .file("docker/config.json", SPELLINGS);
        let at = |name: &str| OsString::from(machine.path(name));
        let ask = async |variables: &[(Variable, OsString)], host: &str| {
            let environment = Environment::of(variables.iter().cloned());
            ConfiguredCredentials::new(environment, None)
                .credential(host, "a")
                .await
                .unwrap()
        };
        let variables = [
            (HOME, at("home")),
            (XDG_RUNTIME_DIR, at("run")),
            (DOCKER_CONFIG, at("docker")),
            (REGISTRY_AUTH_FILE, at("ci/auth.json")),
            (
                DOCKER_AUTH_CONFIG,
                r#"{"auths": {"inline.example": {"username": "in", "password": "line"}}}"#.into(),
            ),
        ];
        let token = Credential::IdentityToken("a refresh token".into());
        assert_eq!(ask(&variables, "inline.example").await, user("in", "line"));
        assert_eq!(ask(&variables, "registry.example").await, token);
        assert_eq!(
            ask(&variables, "plain.example").await,
            Credential::Anonymous
        );
        let searched = variables.get(..3).unwrap();
        assert_eq!(ask(searched, "plain.example").await, user("http", "scheme"));
        assert_eq!(
            ask(searched, "registry.example").await,
            user("all", "secret")
        );
    }

    #[tokio::test]
    async fn an_authfile_is_the_only_place_and_has_to_be_there() {
        let machine = Machine::new()
            .file(PODMAN_FILE, PATHS)
            .file("my.json", SPELLINGS);
        let ask = async |name: &str, host: &str| {
            ConfiguredCredentials::new(machine.environment(), Some(&machine.path(name)))
                .credential(host, "a")
                .await
        };
        assert_eq!(
            ask("my.json", "plain.example").await,
            Ok(user("http", "scheme"))
        );
        assert_eq!(
            ask("my.json", "registry.example").await,
            Ok(Credential::Anonymous)
        );
        let error = ask("none.json", "registry.example")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("none.json: there is no such file"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_helper_goes_before_what_stands_in_the_file() {
        let machine = Machine::new()
            .file(DOCKER_FILE, DESKTOP)
            .answering("desktop", "inline.example", "stored", "elsewhere")
            .answering("cloud", "cloud.example", "<token>", "refresh");
        assert_eq!(
            found(&machine, "inline.example/a").await,
            Ok(user("stored", "elsewhere"))
        );
        assert_eq!(
            found(&machine, "cloud.example/a").await,
            Ok(Credential::IdentityToken("refresh".into()))
        );
        let machine = machine.answering("desktop", "other.example", "stored", "elsewhere");
        assert_eq!(
            found(&machine, "inline.example/a").await,
            Ok(user("inline", "secret"))
        );
        assert_eq!(
            found(&machine, "registry.example/a").await,
            Ok(Credential::Anonymous)
        );
        assert_eq!(
            found(&machine, "plain.example/a").await,
            Ok(Credential::Anonymous)
        );
    }

    #[tokio::test]
    async fn docker_hub_is_asked_for_as_docker_does() {
        let machine = Machine::new().file(DOCKER_FILE, DESKTOP).answering(
            "desktop",
            "https://index.docker.io/v1/",
            "hub",
            "secret",
        );
        assert_eq!(
            found(&machine, "docker.io/a/b").await,
            Ok(user("hub", "secret"))
        );
    }

    #[tokio::test]
    async fn a_path_goes_before_the_store_of_all_hosts_but_not_before_the_hosts_own_helper() {
        let content = |setting: &str| {
            format!(
                r#"{{"auths": {{"registry.example/org": {{"auth": "b3JnOnNlY3JldA=="}}}}, {setting}}}"#
            )
        };
        let machine = Machine::new()
            .file(PODMAN_FILE, &content(r#""credsStore": "x""#))
            .answering("x", "registry.example", "stored", "elsewhere");
        assert_eq!(
            found(&machine, "registry.example/org/a").await,
            Ok(user("org", "secret"))
        );
        assert_eq!(
            found(&machine, "registry.example/a").await,
            Ok(user("stored", "elsewhere"))
        );
        let machine = machine.file(
            PODMAN_FILE,
            &content(r#""credHelpers": {"registry.example": "x"}"#),
        );
        assert_eq!(
            found(&machine, "registry.example/org/a").await,
            Ok(user("stored", "elsewhere"))
        );
    }

    #[tokio::test]
    async fn a_helper_is_asked_once_however_many_ask() {
        let machine = Machine::new().file(DOCKER_FILE, DESKTOP).answering(
            "desktop",
            "inline.example",
            "stored",
            "elsewhere",
        );
        let credentials = ConfiguredCredentials::new(machine.environment(), None);
        let asked = (0..8).map(|_| credentials.credential("inline.example", "a"));
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer, Ok(user("stored", "elsewhere")));
        }
        for _ in 0..2 {
            let none = credentials.credential("none.example", "a").await;
            assert_eq!(none, Ok(Credential::Anonymous));
        }
        assert_eq!(machine.log(), ["get inline.example", "get none.example"]);
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_not_run_again() {
        let machine = Machine::new()
            .file(DOCKER_FILE, DESKTOP)
            .helper("desktop", FAILING);
        let credentials = ConfiguredCredentials::new(machine.environment(), None);
        let first = credentials.credential("inline.example", "a").await;
        let second = credentials.credential("inline.example", "b").await;
        assert_eq!(first, second);
        assert!(first.is_err());
        assert_eq!(machine.log(), ["get inline.example"]);
    }

    #[tokio::test]
    async fn a_missing_helper_is_blamed_on_the_file_that_names_it() {
        let machine = Machine::new().file(DOCKER_FILE, DESKTOP);
        let error = found(&machine, "inline.example/a").await.unwrap_err();
        let file = machine.path(DOCKER_FILE).display().to_string();
        assert!(error.why().contains("docker-credential-desktop"), "{error}");
        assert!(error.why().contains("not on the PATH"), "{error}");
        assert!(error.why().contains(&file), "{error}");
        assert!(error.hint().unwrap().contains(&file), "{error:?}");
    }

    #[tokio::test]
    async fn a_bad_entry_stops_only_those_who_need_it() {
        let machine = Machine::new().file(
            DOCKER_FILE,
            r#"{"auths": {"bad.example": {"auth": "hunter2!"}, "good.example": {"auth": "dXNlcjpwYXNz"}}}"#,
        );
        assert_eq!(
            found(&machine, "good.example/a").await,
            Ok(user("user", "pass"))
        );
        let error = found(&machine, "bad.example/a").await.unwrap_err();
        assert!(error.why().contains("bad.example"), "{error}");
        assert!(error.why().contains(".docker/config.json"), "{error}");
        assert!(!error.why().contains("hunter2"), "{error}");
        assert_eq!(
            error.hint(),
            Some("`ohoci login bad.example` writes it anew")
        );
    }
}
