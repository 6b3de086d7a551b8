//! Keeps and removes credentials: what `login` and `logout` do.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::edit::{edit, entry, replace, spelling};
use super::files;
use super::helper::{Helper, Helpers, TIME_LIMIT, as_record};
use super::keys::Scope;
use super::locations::{Form, Location, Source, locations};
use crate::{Credential, CredentialError};
use ohoci_config::Environment;

/// What keeps a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// A file, in which it stands in clear text but for base64.
    File(PathBuf),
    /// A credential helper, by the name of its program.
    Helper(String),
    /// An environment variable, which only its owner can change.
    Variable(&'static str),
}

impl fmt::Display for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Helper(program) => f.write_str(program),
            Self::Variable(name) => write!(f, "${name}"),
        }
    }
}

/// What came of removing a credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedOut {
    /// What had it and has it no more.
    pub removed: Vec<Keeper>,
    /// What has it still.
    pub remaining: Vec<Keeper>,
}

/// Keeps and removes the credentials that this machine is configured with.
#[derive(Debug)]
pub struct CredentialStore {
    locations: Vec<Location>,
    helpers: Helpers,
}

impl CredentialStore {
    /// Keeps credentials in the locations that `environment` names, or, with an `authfile`, in that
    /// file alone.
    #[must_use]
    pub fn new(environment: Environment, authfile: Option<&Path>) -> Self {
        Self {
            locations: locations(&environment, authfile)
                .into_iter()
                .map(|location| Location {
                    required: false,
                    ..location
                })
                .collect(),
            helpers: Helpers::new(environment, TIME_LIMIT),
        }
    }

    /// Keeps the credential of a registry (`registry.example`), or of what is below a path in it
    /// (`registry.example/org`), where the next lookup finds it first, and says where that is.
    ///
    /// That is the first of the files of podman and Docker that is there; if none is, Docker's
    /// `config.json` is made, which all tools read. A file that names a helper for the registry
    /// has the helper keep it.
    ///
    /// # Errors
    /// When there is nothing to keep, a file cannot be read or written, a helper fails, or the
    /// credential would not be found because another location has one that goes before it.
    pub async fn login(
        &self,
        server: &str,
        credential: &Credential,
    ) -> Result<Keeper, CredentialError> {
        let scope = Scope::of_key(server, false);
        let (username, secret) = as_record(credential)
            .filter(|(username, secret)| !username.is_empty() && !secret.expose().is_empty())
            .ok_or_else(|| {
                CredentialError::new(format!(
                    "there is no name and password to keep for {}",
                    scope.key()
                ))
            })?;
        if scope.host.is_empty() {
            return Err(CredentialError::new(format!(
                "{server:?} names no registry"
            )));
        }
        if username.contains(':') {
            return Err(CredentialError::new(format!(
                "the user name {username:?} has a colon in it"
            )));
        }
        let location = self.writable(&scope)?;
        let content = files::read(location)?.unwrap_or_default();
        let asked = content.helper(&scope.host);
        if let Some(asked) = &asked
            && !scope.is_host()
            && asked.is_for_host()
        {
            return Err(CredentialError::new(format!(
                "docker-credential-{}, which {location} sets for {}, keeps one credential for the whole registry and none for {}",
                asked.helper,
                scope.host,
                scope.key()
            ))
            .hinted(format!("`ohoci login {}`", scope.host)));
        }
        let asked = asked.filter(|_| scope.is_host());
        let entry = match &asked {
            // Docker leaves an empty entry to say that there is one elsewhere.
            Some(asked) => {
                let helper = Helper::of(location, asked);
                (self.helpers)
                    .store(&helper, &asked.server, username, secret)
                    .await?;
                Map::new()
            }
            None => entry(credential),
        };
        edit(location, |auths| {
            let key = spelling(location, &scope);
            auths.retain(|other, _| *other == key || Scope::of_key(other, false) != scope);
            let kept = auths
                .entry(key)
                .or_insert_with(|| Value::Object(Map::new()));
            replace(kept, entry);
        })?;
        Ok(match asked {
            Some(asked) => Keeper::Helper(Helper::of(location, &asked).to_string()),
            None => Keeper::File(location.path().map(Path::to_owned).unwrap_or_default()),
        })
    }

    /// Removes the credential of a registry, or of what is below a path in it, from every location
    /// that has it. Those below it (`registry.example/org` for `registry.example`) stay.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a helper fails. The other locations have been seen
    /// to by then.
    pub async fn logout(&self, server: &str) -> Result<LoggedOut, CredentialError> {
        let scope = Scope::of_key(server, false);
        let mut outcome = LoggedOut::default();
        let mut failure = None;
        for location in &self.locations {
            if let Err(error) = self.remove(location, &scope, &mut outcome).await {
                failure.get_or_insert(error);
            }
        }
        failure.map_or(Ok(outcome), Err)
    }

    async fn remove(
        &self,
        location: &Location,
        scope: &Scope,
        outcome: &mut LoggedOut,
    ) -> Result<(), CredentialError> {
        let Some(content) = files::read(location)? else {
            return Ok(());
        };
        match &location.source {
            Source::Inline { variable, .. } if content.has(scope) => {
                outcome.remaining.push(Keeper::Variable(variable));
            }
            Source::Inline { .. } => {}
            Source::File(path) => {
                let legacy = location.form == Form::Legacy;
                edit(location, |auths| {
                    auths.retain(|key, _| Scope::of_key(key, legacy) != *scope);
                })?;
                if content.has(scope) {
                    outcome.removed.push(Keeper::File(path.clone()));
                }
            }
        }
        if let Some(asked) = content.helper(&scope.host).filter(|_| scope.is_host()) {
            let helper = Helper::of(location, &asked);
            if self.helpers.get(&helper, &asked.server).await?.is_some() {
                self.helpers.erase(&helper, &asked.server).await?;
                outcome.removed.push(Keeper::Helper(helper.to_string()));
            }
        }
        Ok(())
    }

    /// The location that a credential is kept in: the first that is there, else Docker's.
    fn writable(&self, scope: &Scope) -> Result<&Location, CredentialError> {
        let mut fallback = None;
        for location in &self.locations {
            match &location.source {
                Source::Inline { variable, .. } => {
                    if files::read(location)?.is_some_and(|content| content.has(scope)) {
                        return Err(CredentialError::new(format!(
                            "${variable} has a credential for {}, which goes before any that is kept",
                            scope.key()
                        ))
                        .hinted(format!("unset {variable}, or use --authfile")));
                    }
                }
                Source::File(_) if location.form == Form::Legacy => {}
                Source::File(path) => {
                    if path.exists() {
                        return Ok(location);
                    }
                    fallback = Some(location);
                }
            }
        }
        fallback.ok_or_else(|| {
            CredentialError::new("there is no home directory to keep credentials in")
                .hinted("set HOME, or use --authfile")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::lookup::ConfiguredCredentials;
    use super::super::testing::{FAILING, Machine, user};
    use super::*;
    use crate::CredentialSource;
    use ohoci_config::environment::{DOCKER_AUTH_CONFIG, HOME, REGISTRY_AUTH_FILE};

    const DOCKER_FILE: &str = "home/.docker/config.json";
    const PODMAN_FILE: &str = "run/containers/auth.json";
    const DESKTOP: &str = include_str!("../../../../fixtures/credentials/docker-desktop.json");

    async fn login(machine: &Machine, server: &str) -> Result<Keeper, CredentialError> {
        CredentialStore::new(machine.environment(), None)
            .login(server, &user("me", "new"))
            .await
    }

    async fn logout(machine: &Machine, server: &str) -> Result<LoggedOut, CredentialError> {
        CredentialStore::new(machine.environment(), None)
            .logout(server)
            .await
    }

    async fn found(machine: &Machine, host: &str, repository: &str) -> Credential {
        ConfiguredCredentials::new(machine.environment(), None)
            .credential(host, repository)
            .await
            .unwrap()
    }

    fn removed(keepers: impl IntoIterator<Item = Keeper>) -> LoggedOut {
        LoggedOut {
            removed: keepers.into_iter().collect(),
            remaining: Vec::new(),
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_found_and_what_is_removed_is_not() {
        for server in [
            "registry.example",
            "docker.io",
            "https://registry.example/v1/",
        ] {
            let machine = Machine::new();
            let host = Scope::of_key(server, false).host;
            let file = Keeper::File(machine.path(DOCKER_FILE));
            assert_eq!(login(&machine, server).await, Ok(file.clone()));
            assert_eq!(found(&machine, &host, "a").await, user("me", "new"));
            assert_eq!(logout(&machine, server).await, Ok(removed([file])));
            assert_eq!(found(&machine, &host, "a").await, Credential::Anonymous);
            assert_eq!(logout(&machine, server).await, Ok(LoggedOut::default()));
        }
    }

    #[tokio::test]
    async fn docker_and_podman_find_docker_hub_under_their_own_names() {
        let machine = Machine::new();
        login(&machine, "docker.io").await.unwrap();
        assert_eq!(
            machine.read(DOCKER_FILE),
            "{\n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"bWU6bmV3\"\n\t\t}\n\t}\n}\n"
        );
        let machine = machine.file(PODMAN_FILE, "");
        login(&machine, "index.docker.io").await.unwrap();
        assert!(machine.read(PODMAN_FILE).contains("\"docker.io\""));
    }

    #[tokio::test]
    async fn the_first_file_that_is_there_is_written() {
        let machine = Machine::new().file(DOCKER_FILE, "{}").file(
            PODMAN_FILE,
            r#"{"auths": {"other.example": {"auth": "dTpw"}}}"#,
        );
        let keeper = login(&machine, "registry.example").await.unwrap();
        assert_eq!(keeper, Keeper::File(machine.path(PODMAN_FILE)));
        assert_eq!(machine.read(DOCKER_FILE), "{}");
        assert_eq!(found(&machine, "other.example", "a").await, user("u", "p"));
    }

    #[tokio::test]
    async fn a_file_named_outright_is_made() {
        let machine = Machine::new();
        let authfile = machine.path("deep/er/auth.json");
        let store = CredentialStore::new(machine.environment(), Some(&authfile));
        let keeper = store.login("registry.example", &user("me", "new")).await;
        assert_eq!(keeper, Ok(Keeper::File(authfile.clone())));
        let mode = |path: &Path| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&authfile), 0o600);
        assert_eq!(mode(authfile.parent().unwrap()), 0o700);
        let environment = Environment::of([
            (HOME, machine.path("home").into()),
            (REGISTRY_AUTH_FILE, machine.path("ci.json").into()),
        ]);
        let store = CredentialStore::new(environment, None);
        let keeper = store.login("registry.example", &user("me", "new")).await;
        assert_eq!(keeper, Ok(Keeper::File(machine.path("ci.json"))));
    }

    #[tokio::test]
    async fn what_is_not_ours_stays_in_its_order() {
        let machine = Machine::new().file(
            DOCKER_FILE,
            &DESKTOP.replace("\t\"credsStore\": \"desktop\",\n", ""),
        );
        let before = machine.read(DOCKER_FILE);
        login(&machine, "registry.example").await.unwrap();
        let entry = "\"registry.example\": {\n\t\t\t\"auth\": \"bWU6bmV3\"\n\t\t}";
        assert_eq!(
            machine.read(DOCKER_FILE),
            before.replace("\"registry.example\": {}", entry)
        );
    }

    #[tokio::test]
    async fn an_entry_is_replaced_under_whatever_name_it_stands() {
        let machine = Machine::new().file(
            DOCKER_FILE,
            r#"{"auths": {
                "https://registry.example/v1/": {"auth": "b2xkOm9sZA=="},
                "registry.example": {"identitytoken": "old", "email": "me@registry.example"},
                "registry.example/org": {"auth": "b3JnOm9yZw=="}
            }}"#,
        );
        login(&machine, "registry.example").await.unwrap();
        let file: Value = serde_json::from_str(&machine.read(DOCKER_FILE)).unwrap();
        assert_eq!(
            file,
            serde_json::json!({"auths": {
                "registry.example": {"email": "me@registry.example", "auth": "bWU6bmV3"},
                "registry.example/org": {"auth": "b3JnOm9yZw=="},
            }})
        );
    }

    #[tokio::test]
    async fn a_path_is_kept_and_removed_by_itself() {
        let machine = Machine::new();
        login(&machine, "registry.example/org").await.unwrap();
        assert_eq!(
            found(&machine, "registry.example", "org/a").await,
            user("me", "new")
        );
        assert_eq!(
            found(&machine, "registry.example", "a").await,
            Credential::Anonymous
        );
        assert_eq!(
            logout(&machine, "registry.example").await,
            Ok(LoggedOut::default())
        );
        assert_eq!(
            logout(&machine, "registry.example/org").await,
            Ok(removed([Keeper::File(machine.path(DOCKER_FILE))]))
        );
    }

    #[tokio::test]
    async fn a_helper_keeps_what_its_file_says_it_keeps() {
        let machine = Machine::new().file(DOCKER_FILE, DESKTOP).keeping("desktop");
        let keeper = Keeper::Helper("docker-credential-desktop".to_owned());
        assert_eq!(login(&machine, "inline.example").await, Ok(keeper.clone()));
        assert_eq!(
            found(&machine, "inline.example", "a").await,
            user("me", "new")
        );
        assert!(!machine.read(DOCKER_FILE).contains("aW5saW5l"));
        assert_eq!(
            logout(&machine, "inline.example").await,
            Ok(removed([keeper]))
        );
        assert_eq!(
            found(&machine, "inline.example", "a").await,
            Credential::Anonymous
        );
        let token = Credential::IdentityToken("refresh".into());
        CredentialStore::new(machine.environment(), None)
            .login("docker.io", &token)
            .await
            .unwrap();
        assert_eq!(found(&machine, "docker.io", "a").await, token);
        assert!(machine.log().iter().any(|line| {
            line == r#"store {"ServerURL":"https://index.docker.io/v1/","Username":"<token>","Secret":"refresh"}"#
        }));
    }

    #[tokio::test]
    async fn a_helper_that_fails_leaves_the_file_as_it_is() {
        let machine = Machine::new()
            .file(DOCKER_FILE, DESKTOP)
            .helper("desktop", FAILING);
        assert!(login(&machine, "inline.example").await.is_err());
        assert_eq!(machine.read(DOCKER_FILE), DESKTOP);
    }

    #[tokio::test]
    async fn a_helper_for_the_registry_keeps_nothing_for_a_path() {
        let machine = Machine::new().file(DOCKER_FILE, DESKTOP);
        let error = login(&machine, "cloud.example/org").await.unwrap_err();
        assert!(error.why().contains("docker-credential-cloud"), "{error}");
        assert_eq!(error.hint(), Some("`ohoci login cloud.example`"));
    }

    #[tokio::test]
    async fn every_place_is_seen_to_even_if_one_fails() {
        let content = r#"{"auths": {"registry.example": {"auth": "dTpw"}}}"#;
        let machine = Machine::new()
            .file(PODMAN_FILE, "no JSON")
            .file(DOCKER_FILE, content)
            .file(
                "home/.dockercfg",
                r#"{"https://registry.example/v1": {"auth": "dTpw"}}"#,
            );
        let error = logout(&machine, "registry.example").await.unwrap_err();
        assert!(error.why().contains("run/containers/auth.json"), "{error}");
        assert_eq!(machine.read("home/.dockercfg"), "{}\n");
        assert!(!machine.read(DOCKER_FILE).contains("dTpw"));
        assert_eq!(machine.read(PODMAN_FILE), "no JSON");
    }

    #[tokio::test]
    async fn a_variable_that_goes_before_is_spoken_of() {
        let machine = Machine::new();
        let environment = Environment::of([
            (HOME, machine.path("home").into()),
            (
                DOCKER_AUTH_CONFIG,
                r#"{"auths": {"registry.example": {"auth": "dTpw"}}}"#.into(),
            ),
        ]);
        let store = CredentialStore::new(environment, None);
        let error = store.login("registry.example", &user("me", "new")).await;
        assert!(error.unwrap_err().why().contains("$DOCKER_AUTH_CONFIG"));
        assert!(
            store
                .login("other.example", &user("me", "new"))
                .await
                .is_ok()
        );
        assert_eq!(
            store.logout("registry.example").await.unwrap().remaining,
            [Keeper::Variable("DOCKER_AUTH_CONFIG")]
        );
    }

    #[tokio::test]
    async fn a_link_stays_a_link() {
        let machine = Machine::new().file("dotfiles/config.json", "{}");
        fs_err::create_dir(machine.path("home/.docker")).unwrap();
        fs_err::os::unix::fs::symlink(
            machine.path("dotfiles/config.json"),
            machine.path(DOCKER_FILE),
        )
        .unwrap();
        login(&machine, "registry.example").await.unwrap();
        let link = fs_err::symlink_metadata(machine.path(DOCKER_FILE)).unwrap();
        assert!(link.is_symlink());
        assert!(machine.read("dotfiles/config.json").contains("bWU6bmV3"));
    }

    #[tokio::test]
    async fn there_has_to_be_something_to_keep_and_someone_to_keep_it_for() {
        let machine = Machine::new();
        let store = CredentialStore::new(machine.environment(), None);
        for (server, credential) in [
            ("registry.example", Credential::Anonymous),
            ("registry.example", user("", "secret")),
            ("registry.example", user("me", "")),
            ("registry.example", user("a:b", "secret")),
            ("https://", user("me", "secret")),
        ] {
            assert!(store.login(server, &credential).await.is_err(), "{server}");
        }
        let homeless = CredentialStore::new(Environment::of([]), None);
        let error = homeless.login("registry.example", &user("me", "new")).await;
        assert!(error.unwrap_err().hint().unwrap().contains("--authfile"));
    }
}
