//! Changes to an image config: environment, entrypoint, labels and the like.

mod merged;
mod unset;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config_value::{is_signal, port_key, user_fault};
use super::diff::{self, Change};
use super::env::{self, ExpandError, NameCase};
pub use merged::merged;
pub use unset::{Setting, Unset};

/// What to change in an image config (image-spec `config.md`).
///
/// Its JSON form is canonical: equal patches give equal bytes. Everything is optional; an empty
/// patch is `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfigPatch {
    /// Variables to set, in this order. Values may use `${VAR}`, `${VAR:-word}` and
    /// `${VAR:+word}` over the environment as it is before this patch; see [`env::expand`].
    #[serde(with = "ordered_map", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<(String, String)>,
    /// Variables to remove, before `env` is set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unset_env: Vec<String>,
    /// The entrypoint; an empty list removes it. Setting it removes the base's `Cmd`, as a
    /// Dockerfile does, unless [`keep_cmd`](Self::keep_cmd) is set or [`cmd`](Self::cmd) is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Keep `Cmd` although the entrypoint changes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub keep_cmd: bool,
    /// The command; an empty list removes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// User, or `user:group`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Working directory, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Labels to set; `None` removes one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// Ports to add: `8080`, `8080/tcp`, `53/udp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub exposed_ports: BTreeSet<String>,
    /// Volumes to add: absolute paths.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Signal that stops the container: `SIGTERM`, `SIGRTMIN+3`, `15`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// What of the base's settings is taken away, before anything is set.
    #[serde(skip_serializing_if = "Unset::is_empty")]
    pub unset: Unset,
}

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// No name for an environment variable.
    #[error("{0:?} is no name of an environment variable")]
    EnvName(String),
    /// A variable that is set twice: the JSON form could not hold it.
    #[error("environment variable {0} is set twice")]
    EnvTwice(String),
    /// A value that cannot be expanded.
    #[error("environment variable {name}: {source}")]
    Expand {
        /// The variable.
        name: String,
        /// What is wrong with its value.
        source: ExpandError,
    },
    /// No port.
    #[error(
        "{0:?} is no port: expected a number from 1 to 65535, then /tcp, /udp, /sctp or nothing"
    )]
    Port(String),
    /// A path that must be absolute is not.
    #[error("{field} {path:?} is no absolute path")]
    RelativePath {
        /// `working directory` or `volume`.
        field: &'static str,
        /// The path as given.
        path: String,
    },
    /// A user that runtimes do not look up.
    #[error("user {user:?} {why}")]
    User {
        /// As given.
        user: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No signal.
    #[error("{0:?} is no signal: expected a name such as SIGTERM or a number")]
    StopSignal(String),
    /// A label without a name.
    #[error("a label has no name")]
    LabelName,
    /// A NUL, which no program can receive.
    #[error("{0} holds a NUL character")]
    Nul(&'static str),
    /// The config holds something else than image-spec says.
    #[error("the image config has no {expected} at `{path}`")]
    WrongType {
        /// Where in the config.
        path: String,
        /// What should stand there.
        expected: &'static str,
    },
}

impl ConfigPatch {
    /// Whether it changes nothing; [`keep_cmd`](Self::keep_cmd) alone does not.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                keep_cmd: self.keep_cmd,
                ..Self::default()
            }
    }

    /// Whether it equals the default, so that a record may leave it out.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Sets a variable; a later value of the same name takes the place of an earlier one.
    pub(crate) fn set_env(&mut self, name: String, value: String) {
        match self.env.iter_mut().find(|(known, _)| *known == name) {
            Some((_, slot)) => *slot = value,
            None => self.env.push((name, value)),
        }
    }

    /// Checks what can be checked without a config.
    ///
    /// # Errors
    /// See [`PatchError`].
    pub fn check(&self) -> Result<(), PatchError> {
        let names = self.env.iter().map(|(name, _)| name).chain(&self.unset_env);
        for name in names {
            if !env::is_name(name) {
                return Err(PatchError::EnvName(name.clone()));
            }
        }
        let mut seen = BTreeSet::new();
        for (name, value) in &self.env {
            if !seen.insert(name) {
                return Err(PatchError::EnvTwice(name.clone()));
            }
            if value.contains('\0') {
                return Err(PatchError::Nul("an environment variable"));
            }
            env::expand(value, &|_| None).map_err(|source| PatchError::Expand {
                name: name.clone(),
                source,
            })?;
        }
        let lists = [
            (&self.entrypoint, "the entrypoint"),
            (&self.cmd, "the command"),
        ];
        for (list, what) in lists {
            if list.iter().flatten().any(|word| word.contains('\0')) {
                return Err(PatchError::Nul(what));
            }
        }
        let texts = [
            (&self.user, "the user"),
            (&self.working_dir, "the working directory"),
        ];
        for (text, what) in texts {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(PatchError::Nul(what));
            }
        }
        if let Some(user) = &self.user
            && let Some(why) = user_fault(user)
        {
            return Err(PatchError::User {
                user: user.clone(),
                why,
            });
        }
        if self.volumes.iter().any(|volume| volume.contains('\0')) {
            return Err(PatchError::Nul("a volume"));
        }
        if self.labels.contains_key("") {
            return Err(PatchError::LabelName);
        }
        for port in &self.exposed_ports {
            port_key(port).ok_or_else(|| PatchError::Port(port.clone()))?;
        }
        self.unset.check()?;
        match &self.stop_signal {
            Some(signal) if !is_signal(signal) => Err(PatchError::StopSignal(signal.clone())),
            _ => Ok(()),
        }
    }

    /// Patches a config in place and returns what changed.
    ///
    /// Key order and unknown fields stay. After an error the config is as it was.
    ///
    /// # Errors
    /// See [`PatchError`].
    pub fn apply(&self, config: &mut Map<String, Value>) -> Result<Vec<Change>, PatchError> {
        self.check()?;
        if self.is_empty() {
            return Ok(Vec::new());
        }
        let os = config.get("os").and_then(Value::as_str).unwrap_or_default();
        let case = NameCase::of_os(os);
        let mut patched = config.clone();
        let inner = object_at(&mut patched, "config", "config")?;
        self.unset.apply(inner);
        self.apply_paths(inner, case)?;
        self.apply_env(inner, case)?;
        self.apply_command(inner);
        if let Some(user) = &self.user {
            inner.insert("User".to_owned(), user.clone().into());
        }
        if let Some(signal) = &self.stop_signal {
            inner.insert("StopSignal".to_owned(), signal.clone().into());
        }
        if !self.exposed_ports.is_empty() {
            let ports = object_at(inner, "ExposedPorts", "config.ExposedPorts")?;
            for port in &self.exposed_ports {
                ports
                    .entry(port_key(port).ok_or_else(|| PatchError::Port(port.clone()))?)
                    .or_insert_with(|| Value::Object(Map::new()));
            }
        }
        self.apply_labels(inner)?;
        let changes = diff::changes(config, &patched);
        // An edit that changes nothing, such as removing what is not there, must not leave an
        // empty object behind either.
        if !changes.is_empty() && !only_empty_config(&changes) {
            *config = patched;
            return Ok(changes);
        }
        Ok(Vec::new())
    }

    fn apply_paths(
        &self,
        inner: &mut Map<String, Value>,
        case: NameCase,
    ) -> Result<(), PatchError> {
        let check = |field, path: &String| {
            // Windows paths start with a drive letter or a variable.
            let absolute = match case {
                NameCase::Sensitive => path.starts_with('/'),
                NameCase::Insensitive => !path.is_empty(),
            };
            absolute
                .then_some(())
                .ok_or_else(|| PatchError::RelativePath {
                    field,
                    path: path.clone(),
                })
        };
        if let Some(path) = &self.working_dir {
            check("working directory", path)?;
            inner.insert("WorkingDir".to_owned(), path.clone().into());
        }
        if !self.volumes.is_empty() {
            let volumes = object_at(inner, "Volumes", "config.Volumes")?;
            for volume in &self.volumes {
                check("volume", volume)?;
                volumes
                    .entry(volume.clone())
                    .or_insert_with(|| Value::Object(Map::new()));
            }
        }
        Ok(())
    }

    fn apply_env(&self, inner: &mut Map<String, Value>, case: NameCase) -> Result<(), PatchError> {
        if self.env.is_empty() && self.unset_env.is_empty() {
            return Ok(());
        }
        let before = string_list(inner.get("Env"), "config.Env")?;
        let mut after = before.clone();
        for name in &self.unset_env {
            env::unset(&mut after, name, case);
        }
        for (name, value) in &self.env {
            let value = env::expand(value, &|variable| env::lookup(&before, variable, case))
                .map_err(|source| PatchError::Expand {
                    name: name.clone(),
                    source,
                })?;
            env::set(&mut after, name, &value, case);
        }
        if after != before {
            inner.insert("Env".to_owned(), after.into());
        }
        Ok(())
    }

    fn apply_command(&self, inner: &mut Map<String, Value>) {
        let mut put = |key: &str, list: &Vec<String>| {
            if list.is_empty() {
                // Docker writes null for none; that may stay.
                if inner.get(key).is_some_and(|value| !value.is_null()) {
                    inner.shift_remove(key);
                }
            } else {
                inner.insert(key.to_owned(), list.clone().into());
            }
        };
        if let Some(entrypoint) = &self.entrypoint {
            put("Entrypoint", entrypoint);
        }
        match (&self.cmd, &self.entrypoint) {
            (Some(cmd), _) => put("Cmd", cmd),
            (None, Some(_)) if !self.keep_cmd => put("Cmd", &Vec::new()),
            _ => {}
        }
    }

    fn apply_labels(&self, inner: &mut Map<String, Value>) -> Result<(), PatchError> {
        for (name, value) in &self.labels {
            if let Some(value) = value {
                object_at(inner, "Labels", "config.Labels")?
                    .insert(name.clone(), value.clone().into());
            } else if inner.get("Labels").is_some_and(|labels| !labels.is_null()) {
                object_at(inner, "Labels", "config.Labels")?.shift_remove(name);
            }
        }
        Ok(())
    }
}

fn only_empty_config(changes: &[Change]) -> bool {
    let empty = Value::Object(Map::new());
    matches!(changes, [change] if change.path == "config" && change.after.as_ref() == Some(&empty))
}

/// The object at `key`, made where there is none; `path` names it in errors.
pub(super) fn object_at<'a>(
    parent: &'a mut Map<String, Value>,
    key: &str,
    path: &str,
) -> Result<&'a mut Map<String, Value>, PatchError> {
    let slot = parent.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().ok_or_else(|| PatchError::WrongType {
        path: path.to_owned(),
        expected: "object",
    })
}

fn string_list(value: Option<&Value>, path: &str) -> Result<Vec<String>, PatchError> {
    let list = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => {
            return Err(PatchError::WrongType {
                path: path.to_owned(),
                expected: "array",
            });
        }
    };
    list.iter()
        .enumerate()
        .map(|(at, entry)| {
            entry
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| PatchError::WrongType {
                    path: format!("{path}[{at}]"),
                    expected: "string",
                })
        })
        .collect()
}

/// Key-value pairs that are written as one object and keep their order.
mod ordered_map {
    use std::fmt;

    use serde::de::{Error as _, MapAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        pairs: &[(String, String)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, String)>, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs: Self::Value = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format!("{key:?} is given twice")));
                    }
                    pairs.push((key, value));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests;
