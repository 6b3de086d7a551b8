//! What a patch takes away of the base's settings.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ConfigPatch, PatchError, port_key};

/// A setting that can be taken away as a whole. The names are those of image-spec's `config` object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Setting {
    /// Every declared port.
    ExposedPorts,
    /// Docker's check of a running container's health.
    Healthcheck,
    /// The signal that stops a container.
    StopSignal,
    /// The user.
    User,
    /// Every declared volume.
    Volumes,
    /// The working directory.
    WorkingDir,
}

impl Setting {
    fn key(self) -> &'static str {
        match self {
            Self::ExposedPorts => "ExposedPorts",
            Self::Healthcheck => "Healthcheck",
            Self::StopSignal => "StopSignal",
            Self::User => "User",
            Self::Volumes => "Volumes",
            Self::WorkingDir => "WorkingDir",
        }
    }
}

/// What is taken away before the rest of a patch is applied. What the base does not have is no error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unset {
    /// Ports: `8080`, `53/udp`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub ports: BTreeSet<String>,
    /// Volumes, by their paths.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub volumes: BTreeSet<String>,
    /// Settings as a whole.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub settings: BTreeSet<Setting>,
}

impl Unset {
    /// Whether it takes nothing away.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be checked without a config.
    pub(super) fn check(&self) -> Result<(), PatchError> {
        for port in &self.ports {
            port_key(port).ok_or_else(|| PatchError::Port(port.clone()))?;
        }
        Ok(())
    }

    /// Adds what another takes away.
    pub(super) fn extend(&mut self, other: Self) {
        self.ports.extend(other.ports);
        self.volumes.extend(other.volumes);
        self.settings.extend(other.settings);
    }

    /// Takes away what an earlier patch has set, so that both can be applied as one.
    pub fn forget(&self, earlier: &mut ConfigPatch) {
        for setting in &self.settings {
            match setting {
                Setting::ExposedPorts => earlier.exposed_ports.clear(),
                Setting::Volumes => earlier.volumes.clear(),
                Setting::StopSignal => earlier.stop_signal = None,
                Setting::User => earlier.user = None,
                Setting::WorkingDir => earlier.working_dir = None,
                Setting::Healthcheck => {}
            }
        }
        let ports: BTreeSet<String> = self
            .ports
            .iter()
            .filter_map(|port| port_key(port))
            .collect();
        earlier
            .exposed_ports
            .retain(|port| port_key(port).is_none_or(|port| !ports.contains(&port)));
        earlier
            .volumes
            .retain(|volume| !self.volumes.contains(volume));
    }

    /// Takes it away from a config's `config` object; an object that has nothing left goes, too.
    pub(super) fn apply(&self, inner: &mut Map<String, Value>) {
        for setting in &self.settings {
            // Docker writes null for none; that may stay.
            if inner
                .get(setting.key())
                .is_some_and(|value| !value.is_null())
            {
                inner.shift_remove(setting.key());
            }
        }
        let ports = self.ports.iter().filter_map(|port| port_key(port));
        take(inner, "ExposedPorts", ports);
        take(inner, "Volumes", self.volumes.iter().cloned());
    }
}

fn take(inner: &mut Map<String, Value>, key: &str, names: impl Iterator<Item = String>) {
    let Some(Value::Object(object)) = inner.get_mut(key) else {
        return;
    };
    let had = object.len();
    for name in names {
        object.shift_remove(&name);
    }
    if object.is_empty() && had > 0 {
        inner.shift_remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn applied(patch: &ConfigPatch) -> Value {
        let base = json!({"os": "linux", "config": {
            "User": "root", "WorkingDir": "/srv", "Healthcheck": {"Test": ["NONE"]},
            "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}},
        }});
        let Value::Object(mut config) = base else {
            unreachable!()
        };
        patch.apply(&mut config).unwrap();
        config["config"].take()
    }

    #[test]
    fn what_is_taken_away_is_gone_and_the_rest_stays() {
        let patch = ConfigPatch {
            unset: Unset {
                ports: ["80".to_owned(), "443".to_owned()].into(),
                volumes: ["/data".to_owned()].into(),
                settings: [Setting::Healthcheck, Setting::WorkingDir].into(),
            },
            ..ConfigPatch::default()
        };
        assert_eq!(
            applied(&patch),
            json!({"User": "root", "ExposedPorts": {"53/udp": {}}})
        );
    }

    #[test]
    fn what_is_set_in_the_same_patch_stays() {
        let patch = ConfigPatch {
            unset: Unset {
                settings: [Setting::ExposedPorts, Setting::User].into(),
                ..Unset::default()
            },
            exposed_ports: ["8000".to_owned()].into(),
            user: Some("1000".to_owned()),
            ..ConfigPatch::default()
        };
        let config = applied(&patch);
        assert_eq!(config["ExposedPorts"], json!({"8000/tcp": {}}));
        assert_eq!(config["User"], "1000");
    }

    #[test]
    fn no_port_is_refused() {
        let patch = ConfigPatch {
            unset: Unset {
                ports: ["http".to_owned()].into(),
                ..Unset::default()
            },
            ..ConfigPatch::default()
        };
        assert_eq!(patch.check(), Err(PatchError::Port("http".to_owned())));
    }
}
