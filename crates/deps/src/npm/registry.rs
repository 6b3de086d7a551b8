//! Where this machine's npm is told to find packages.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use url::Url;

use crate::hosts::{self, Mirror};
use ohoci_config::Environment;
use ohoci_config::environment::{
    NPM_CONFIG_GLOBALCONFIG, NPM_CONFIG_REGISTRY, NPM_CONFIG_USERCONFIG,
};

/// The largest configuration file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How long npm may take to say what its registry is.
const PATIENCE: Duration = Duration::from_secs(60);

/// npm's configuration, as far as it says where packages come from.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Registries {
    default: Option<Url>,
    /// By scope, with its `@`.
    scopes: BTreeMap<String, Url>,
    /// The rest of the keys that begin with `//`, by what they begin with.
    logins: BTreeMap<String, Login>,
}

/// What a registry wants to know about us.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// A token, to be sent as `Bearer`.
    Token(String),
    /// User and password in base64, to be sent as `Basic`.
    Basic(String),
}

/// Where a tarball is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its URL.
    pub url: Url,
    /// What the registry wants to know about us.
    pub login: Option<Login>,
}

impl Registries {
    /// What the environment and npm's files say, of which `etc` (`/etc`) holds the system's.
    #[must_use]
    pub fn of_machine(environment: &Environment, etc: &Path) -> Self {
        let user = environment
            .path(NPM_CONFIG_USERCONFIG)
            .or_else(|| environment.home().map(|home| home.join(".npmrc")));
        let system: Vec<PathBuf> = match environment.path(NPM_CONFIG_GLOBALCONFIG) {
            Some(file) => vec![file],
            // Debian's npm, and one that is in `/usr` or `/usr/local`.
            None => ["npmrc", "../usr/etc/npmrc", "../usr/local/etc/npmrc"]
                .map(|file| etc.join(file))
                .into(),
        };
        let mut found = Self::default();
        let variable = environment.get(NPM_CONFIG_REGISTRY);
        if let Some(variable) = variable.and_then(|value| value.into_string().ok()) {
            found.default = registry(&variable);
        }
        // Nearer ones win.
        for file in user.into_iter().chain(system) {
            let small = fs_err::metadata(&file).is_ok_and(|found| found.len() <= MAX_FILE);
            if let Some(text) = small.then(|| fs_err::read_to_string(&file).ok()).flatten() {
                found.add(&text);
            }
        }
        found
    }

    /// The same with a registry for when none is configured.
    #[must_use]
    pub fn or_default(mut self, url: Option<Url>) -> Self {
        self.default = self.default.or(url);
        self
    }

    /// Whether a registry is known for packages without a registry of their scope.
    #[must_use]
    pub(crate) fn has_default(&self) -> bool {
        self.default.is_some()
    }

    fn add(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let (key, value) = (key.trim(), value.trim().trim_matches(['"', '\'']));
            if key == "registry" {
                self.default = self.default.take().or_else(|| registry(value));
            } else if let Some(scope) = key.strip_suffix(":registry")
                && scope.starts_with('@')
                && let Some(url) = registry(value)
            {
                self.scopes.entry(scope.to_owned()).or_insert(url);
            } else if key.starts_with("//") {
                let login = [
                    (":_authToken", Login::Token as fn(String) -> Login),
                    (":_auth", Login::Basic as fn(String) -> Login),
                ];
                for (suffix, login) in login {
                    // Variables are left to npm: `${…}` is no token.
                    if let Some(place) = key.strip_suffix(suffix)
                        && !value.contains("${")
                    {
                        let place = place.trim_end_matches('/').to_owned();
                        self.logins
                            .entry(place)
                            .or_insert_with(|| login(value.to_owned()));
                    }
                }
            }
        }
    }

    /// Where the tarball is that a lock knows by its path below a registry; `None` when no
    /// registry is configured.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<Location> {
        let scope = path
            .split_once('/')
            .map(|(scope, _)| scope)
            .filter(|scope| scope.starts_with('@'));
        let base = scope
            .and_then(|scope| self.scopes.get(scope))
            .or(self.default.as_ref())?;
        let url = base.join(path).ok()?;
        let login = self.login(base);
        Some(Location { url, login })
    }

    /// The registry to download that path from, which is below its root.
    #[must_use]
    pub fn mirror(&self, path: &str) -> Option<Mirror> {
        let location = self.locate(path)?;
        let mut base = location.url;
        let root = base.path().strip_suffix(path)?.to_owned();
        base.set_path(&root);
        Some(Mirror {
            base,
            login: location.login.map(|login| match login {
                Login::Token(token) => hosts::Login::Header(format!("Bearer {token}")),
                Login::Basic(basic) => hosts::Login::Header(format!("Basic {basic}")),
            }),
        })
    }

    /// The login of the nearest place above a registry's URL.
    fn login(&self, base: &Url) -> Option<Login> {
        let port = base.port().map(|port| format!(":{port}"));
        let host = base.host_str().unwrap_or_default();
        let whole = format!("//{host}{}{}", port.unwrap_or_default(), base.path());
        let mut place = whole.trim_end_matches('/');
        loop {
            if let Some(login) = self.logins.get(place) {
                return Some(login.clone());
            }
            place = place.rsplit_once('/')?.0;
        }
    }
}

/// The registry that the npm on this machine uses, as it says.
pub(crate) async fn registry_of_npm(npm: &Path) -> Option<Url> {
    let mut command = tokio::process::Command::new(npm);
    command
        .args(["config", "get", "registry"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .ok()?
        .ok()?;
    registry(std::str::from_utf8(&output.stdout).ok()?.trim())
}

fn registry(text: &str) -> Option<Url> {
    let url: Url = format!("{}/", text.trim_end_matches('/')).parse().ok()?;
    matches!(url.scheme(), "http" | "https").then_some(url)
}

impl fmt::Debug for Registries {
    /// Leaves out the logins.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries")
            .field("default", &self.default.as_ref().map(Url::host_str))
            .field("scopes", &self.scopes.keys())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Login {
    /// Leaves out the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Basic(_) => "Basic",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_config::Variable;
    use ohoci_config::environment::HOME;

    fn machine(user: &str, system: &str, variables: &[(Variable, &str)]) -> Registries {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(root.path().join("usr/etc")).unwrap();
        fs_err::create_dir_all(root.path().join("etc")).unwrap();
        fs_err::write(root.path().join(".npmrc"), user).unwrap();
        fs_err::write(root.path().join("usr/etc/npmrc"), system).unwrap();
        let variables = variables
            .iter()
            .map(|(variable, value)| (*variable, value.into()));
        let home = (HOME, root.path().as_os_str().to_owned());
        let environment = Environment::of(variables.chain([home]));
        Registries::of_machine(&environment, &root.path().join("etc"))
    }

    fn url(registries: &Registries, path: &str) -> Option<String> {
        registries.locate(path).map(|found| found.url.to_string())
    }

    #[test]
    fn scopes_have_registries_of_their_own() {
        let user = "registry=https://user.example/npm\n@s:registry = \"https://scope.example\"\n";
        let found = machine(user, "registry=https://system.example/\n", &[]);
        assert_eq!(
            url(&found, "a/-/a-1.0.0.tgz").unwrap(),
            "https://user.example/npm/a/-/a-1.0.0.tgz"
        );
        assert_eq!(
            url(&found, "@s/a/-/a-1.0.0.tgz").unwrap(),
            "https://scope.example/@s/a/-/a-1.0.0.tgz"
        );
        let variable = (NPM_CONFIG_REGISTRY, "https://variable.example");
        let found = machine(user, "", &[variable]);
        assert!(
            url(&found, "a/-/a-1.0.0.tgz")
                .unwrap()
                .starts_with("https://variable.example/")
        );
        let none = machine("", "", &[]);
        assert_eq!(url(&none, "a/-/a-1.0.0.tgz"), None);
        let asked = none.or_default(registry("https://asked.example"));
        assert!(
            url(&asked, "@t/a/-/a-1.0.0.tgz")
                .unwrap()
                .starts_with("https://asked.example/@t/")
        );
    }

    #[test]
    fn logins_belong_to_a_place_and_are_not_shown() {
        let user = "registry=https://host.example/npm/group\n\
                    //host.example/npm/:_authToken=secret\n//host.example:444/:_auth=c2VjcmV0\n\
                    //other.example/:_authToken=${TOKEN}\n@o:registry=https://other.example/\n\
                    @p:registry=https://host.example:444/x/\n@q:registry=https://host.example/\n";
        let found = machine(user, "", &[]);
        let login = |path: &str| found.locate(path).unwrap().login;
        assert_eq!(
            login("a/-/a-1.0.0.tgz"),
            Some(Login::Token("secret".to_owned()))
        );
        assert_eq!(
            login("@p/a/-/a-1.0.0.tgz"),
            Some(Login::Basic("c2VjcmV0".to_owned()))
        );
        assert_eq!(login("@o/a/-/a-1.0.0.tgz"), None);
        assert_eq!(login("@q/a/-/a-1.0.0.tgz"), None);
        let shown = format!("{found:?} {:?}", login("a/-/a-1.0.0.tgz"));
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[tokio::test]
    async fn npm_itself_can_be_asked() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let npm = directory.path().join("npm");
        fs_err::write(
            &npm,
            "#!/bin/sh\ntest \"$*\" = 'config get registry' && echo https://npm.example/\n",
        )
        .unwrap();
        fs_err::set_permissions(&npm, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(registry_of_npm(&npm).await, registry("https://npm.example"));
        assert_eq!(registry_of_npm(&directory.path().join("gone")).await, None);
    }
}
