//! Where credentials are looked for, and in which order.
//!
//! The order is podman's (containers-auth.json(5)) with Docker's inline variable in front. A file
//! that is named outright takes the location of all those that would be searched, as in today's
//! podman (`getAuthFilePaths` in containers/image); podman 4.3 and skopeo 1.9 still searched on.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::Secret;
use ohoci_config::Environment;
use ohoci_config::environment::{
    DOCKER_AUTH_CONFIG, DOCKER_CONFIG, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR,
};

/// A location that may hold credentials.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub(super) source: Source,
    pub(super) form: Form,
    /// Whether it is an error when it is not there.
    pub(super) required: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    File(PathBuf),
    Inline {
        variable: &'static str,
        content: Secret,
    },
}

/// Who else uses the location, and with that its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `auth.json`: podman, skopeo, buildah.
    Containers,
    /// `config.json`: Docker.
    Docker,
    /// `.dockercfg`: Docker before 1.7. It is what stands below `auths` in the other forms.
    Legacy,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Inline { variable, .. } => write!(f, "${variable}"),
        }
    }
}

impl Location {
    /// The file, unless the content came from elsewhere.
    pub(super) fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Inline { .. } => None,
        }
    }

    fn file(path: impl Into<PathBuf>, form: Form) -> Self {
        Self {
            source: Source::File(path.into()),
            form,
            required: false,
        }
    }
}

/// All locations, first to last. `authfile` is what the command line names.
pub(super) fn locations(environment: &Environment, authfile: Option<&Path>) -> Vec<Location> {
    if let Some(path) = authfile {
        return vec![Location {
            required: true,
            ..Location::file(path, Form::Containers)
        }];
    }
    let mut locations = Vec::new();
    if let Some(content) = environment.get(DOCKER_AUTH_CONFIG) {
        locations.push(Location {
            source: Source::Inline {
                variable: DOCKER_AUTH_CONFIG.name,
                content: Secret::new(content.to_string_lossy()),
            },
            form: Form::Docker,
            required: false,
        });
    }
    if let Some(path) = environment.path(REGISTRY_AUTH_FILE) {
        locations.push(Location::file(path, Form::Containers));
        return locations;
    }
    let session = environment
        .path(XDG_RUNTIME_DIR)
        .map(|directory| directory.join("containers/auth.json"))
        .or_else(|| Some(format!("/run/containers/{}/auth.json", environment.user_id()?).into()));
    let own = (environment.config_home()).map(|home| home.join("containers/auth.json"));
    let docker = (environment.path(DOCKER_CONFIG))
        .or_else(|| Some(environment.home()?.join(".docker")))
        .map(|directory| directory.join("config.json"));
    let legacy = environment.home().map(|home| home.join(".dockercfg"));
    for (path, form) in [
        (session, Form::Containers),
        (own, Form::Containers),
        (docker, Form::Docker),
        (legacy, Form::Legacy),
    ] {
        locations.extend(path.map(|path| Location::file(path, form)));
    }
    locations
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_config::Variable;
    use ohoci_config::environment::{HOME, XDG_CONFIG_HOME};

    fn names(variables: &[(Variable, &str)], authfile: Option<&str>) -> Vec<String> {
        let environment = Environment::of(
            variables
                .iter()
                .map(|(variable, value)| (*variable, value.into())),
        );
        locations(&environment, authfile.map(Path::new))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn podmans_files_go_before_dockers() {
        assert_eq!(
            names(
                &[
                    (HOME, "/home/me"),
                    (XDG_RUNTIME_DIR, "/run/user/1"),
                    (DOCKER_AUTH_CONFIG, "{}")
                ],
                None
            ),
            [
                "$DOCKER_AUTH_CONFIG",
                "/run/user/1/containers/auth.json",
                "/home/me/.config/containers/auth.json",
                "/home/me/.docker/config.json",
                "/home/me/.dockercfg",
            ]
        );
        assert_eq!(
            names(
                &[
                    (HOME, "/home/me"),
                    (XDG_CONFIG_HOME, "/etc/me"),
                    (DOCKER_CONFIG, "/ci/docker")
                ],
                None
            ),
            [
                "/etc/me/containers/auth.json",
                "/ci/docker/config.json",
                "/home/me/.dockercfg",
            ]
        );
        assert_eq!(names(&[], None), [""; 0]);
    }

    #[test]
    fn a_file_named_outright_takes_the_place_of_those_searched() {
        let variables = [
            (HOME, "/home/me"),
            (DOCKER_AUTH_CONFIG, "{}"),
            (REGISTRY_AUTH_FILE, "/ci/auth.json"),
        ];
        assert_eq!(names(&variables, Some("my.json")), ["my.json"]);
        assert_eq!(
            names(&variables, None),
            ["$DOCKER_AUTH_CONFIG", "/ci/auth.json"]
        );
    }

    #[test]
    fn without_a_session_podman_keeps_credentials_by_user_number() {
        let environment = Environment::of([]).for_user(1000);
        let found = locations(&environment, None);
        assert_eq!(
            found.first().unwrap().to_string(),
            "/run/containers/1000/auth.json"
        );
    }
}
