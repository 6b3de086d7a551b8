//! What a request takes and what a token permits, in the terms of distribution's scopes
//! (`docs/spec/auth/scope.md`, `docs/spec/auth/token.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use axum::http::Method;
use serde_json::{Value, json};

use super::name::RepositoryName;
use super::route::Route;

/// Most resources of one token: each makes every request's head longer.
pub(super) const MOST_RESOURCES: usize = 64;

/// What names the list of repositories.
const CATALOG: (&str, &str) = ("registry", "catalog");

/// The type of repositories.
const REPOSITORY: &str = "repository";

/// Stands for every action.
const EVERYTHING: &str = "*";

/// Actions on resources, each of which has a type and a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access(BTreeMap<(String, String), BTreeSet<String>>);

impl Access {
    /// What a request takes: distribution's registry asks for the same.
    pub(super) fn needed(method: &Method, route: &Route, query: &[(String, String)]) -> Self {
        let mut access = Self::default();
        let writes = !matches!(*method, Method::GET | Method::HEAD);
        let (name, actions): (_, &[&str]) = match route {
            Route::Base => return access,
            Route::Catalog => {
                access.add(CATALOG.0, CATALOG.1, &[EVERYTHING]);
                return access;
            }
            Route::Tags(name) | Route::Referrers(name, _) => (name, &["pull"]),
            Route::Manifest(name, _) | Route::Blob(name, _) => match *method {
                Method::DELETE => (name, &["delete"]),
                _ if writes => (name, &["pull", "push"]),
                _ => (name, &["pull"]),
            },
            Route::Uploads(name) | Route::Upload(name, _) if writes => (name, &["pull", "push"]),
            Route::Uploads(name) | Route::Upload(name, _) => (name, &["pull"]),
        };
        access.add(REPOSITORY, name.as_str(), actions);
        if let Route::Uploads(_) = route {
            let value = |wanted: &str| {
                let mut pairs = query.iter();
                pairs.find_map(|(key, value)| (key == wanted).then_some(value.as_str()))
            };
            if let (Some(_), Some(from)) = (value("mount"), value("from"))
                && RepositoryName::parse(from).is_ok()
            {
                access.add(REPOSITORY, from, &["pull"]);
            }
        }
        access
    }

    /// What scopes ask for, as far as there is such a thing here. `only_reads` is for what takes no
    /// pushes.
    ///
    /// # Errors
    /// When it is more than a token may hold.
    pub(super) fn asked(scopes: &[&str], only_reads: bool) -> Result<Self, TooMuch> {
        let mut access = Self::default();
        for scope in scopes.iter().flat_map(|scopes| scopes.split(' ')) {
            let Some((resource, actions)) = scope.rsplit_once(':') else {
                continue;
            };
            let Some((kind, name)) = resource.split_once(':') else {
                continue;
            };
            let is_known = (kind, name) == CATALOG && !only_reads
                || kind == REPOSITORY && RepositoryName::parse(name).is_ok();
            if !is_known {
                continue;
            }
            let known: &[&str] = match (only_reads, kind == REPOSITORY) {
                (true, _) => &["pull"],
                (false, true) => &["pull", "push", "delete", EVERYTHING],
                (false, false) => &[EVERYTHING],
            };
            let actions = actions.split(',').map(|action| match action {
                // Everything that there is.
                EVERYTHING if only_reads => "pull",
                other => other,
            });
            let actions: Vec<&str> = actions.filter(|action| known.contains(action)).collect();
            if !actions.is_empty() {
                access.add(kind, name, &actions);
            }
            if access.0.len() > MOST_RESOURCES {
                return Err(TooMuch);
            }
        }
        Ok(access)
    }

    fn add(&mut self, kind: &str, name: &str, actions: &[&str]) {
        let resource = (kind.to_owned(), name.to_owned());
        let known = self.0.entry(resource).or_default();
        known.extend(actions.iter().map(|&action| action.to_owned()));
    }

    /// Whether everything that is needed is in here.
    pub(super) fn covers(&self, needed: &Self) -> bool {
        needed.0.iter().all(|(resource, actions)| {
            self.0
                .get(resource)
                .is_some_and(|have| have.is_superset(actions) || have.contains(EVERYTHING))
        })
    }

    /// The `access` of a token's claims.
    pub(super) fn to_json(&self) -> Value {
        let entries = self.0.iter().map(
            |((kind, name), actions)| json!({ "type": kind, "name": name, "actions": actions }),
        );
        entries.collect()
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(super) fn from_json(value: &Value) -> Option<Self> {
        let mut access = Self::default();
        for entry in value.as_array()? {
            let text = |key: &str| entry.get(key)?.as_str();
            let actions = entry.get("actions")?.as_array()?.iter();
            let actions = actions.map(Value::as_str).collect::<Option<Vec<_>>>()?;
            access.add(text("type")?, text("name")?, &actions);
        }
        Some(access)
    }
}

/// As challenges and requests for tokens write it.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, ((kind, name), actions)) in self.0.iter().enumerate() {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{kind}:{name}:{}", actions.join(","))?;
        }
        Ok(())
    }
}

/// More was asked for than a token may hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMuch;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route;

    fn needed(method: &Method, path: &str, query: &[(&str, &str)]) -> String {
        let pairs = query.iter();
        let query: Vec<_> = pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        Access::needed(method, &route::parse(path).unwrap(), &query).to_string()
    }

    #[test]
    fn requests_need_what_distributions_registry_asks_for() {
        let blob = format!("/v2/a/b/blobs/{}", ohoci_image::Digest::of(b""));
        for (method, path, scope) in [
            (Method::GET, "/v2/", ""),
            (Method::GET, "/v2/_catalog", "registry:catalog:*"),
            (Method::GET, "/v2/a/b/tags/list", "repository:a/b:pull"),
            (Method::HEAD, "/v2/a/b/manifests/1", "repository:a/b:pull"),
            (
                Method::PUT,
                "/v2/a/b/manifests/1",
                "repository:a/b:pull,push",
            ),
            (
                Method::DELETE,
                "/v2/a/b/manifests/1",
                "repository:a/b:delete",
            ),
            (Method::GET, &blob, "repository:a/b:pull"),
            (Method::DELETE, &blob, "repository:a/b:delete"),
            (
                Method::PATCH,
                "/v2/a/b/blobs/uploads/1",
                "repository:a/b:pull,push",
            ),
            (
                Method::GET,
                "/v2/a/b/blobs/uploads/1",
                "repository:a/b:pull",
            ),
        ] {
            assert_eq!(needed(&method, path, &[]), scope, "{method} {path}");
        }
        let mount = [("mount", "sha256:0"), ("from", "c")];
        assert_eq!(
            needed(&Method::POST, "/v2/a/b/blobs/uploads/", &mount),
            "repository:a/b:pull,push repository:c:pull"
        );
    }

    #[test]
    fn scopes_are_granted_as_far_as_there_is_such_a_thing() {
        let asked = |scopes: &[&str], only_reads| Access::asked(scopes, only_reads).unwrap();
        let scopes = [
            "repository:a:pull,push repository:b/c:delete,fly",
            "registry:catalog:*",
            "repository(plugin):d:pull",
            "repository:../e:pull",
            "pull",
            "",
        ];
        assert_eq!(
            asked(&scopes, false).to_string(),
            "registry:catalog:* repository:a:pull,push repository:b/c:delete"
        );
        assert_eq!(asked(&scopes, true).to_string(), "repository:a:pull");
        assert_eq!(
            asked(&["repository:a:*"], true).to_string(),
            "repository:a:pull"
        );
        let many: Vec<String> = (0..=MOST_RESOURCES)
            .map(|number| format!("repository:a{number}:pull"))
            .collect();
        assert_eq!(Access::asked(&[&many.join(" ")], false), Err(TooMuch));
    }

    #[test]
    fn what_is_granted_covers_what_is_needed_and_no_more() {
        let of = |text: &str| Access::asked(&[text], false).unwrap();
        let push = of("repository:a:pull,push");
        for (needed, is_covered) in [
            ("repository:a:pull", true),
            ("repository:a:push", true),
            ("repository:a:delete", false),
            ("repository:ab:pull", false),
            ("repository:a:pull repository:b:pull", false),
            ("registry:catalog:*", false),
        ] {
            assert_eq!(push.covers(&of(needed)), is_covered, "{needed}");
        }
        assert!(of("repository:a:*").covers(&of("repository:a:pull,push,delete")));
        assert!(Access::default().covers(&Access::default()));
        assert_eq!(Access::from_json(&push.to_json()), Some(push));
    }
}
