//! ohoci's own labels: the patch of a deps image, and what a composed image was made from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::annotation;
use super::config_patch::{ConfigPatch, PatchError, object_at};
use super::digest::Digest;
use super::json::{self, JsonError};
use super::role::Role;
use super::shape;

/// Where added layers go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// Above the base's layers, as a Dockerfile's `COPY` puts them.
    #[default]
    Top,
    /// Below the base's layers, so that images of different bases share a chain of layers.
    Bottom,
}

/// An image or file that went into a composition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Reference, or what the file was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the name resolved to: an index, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The only path that was taken out of it; `None` is all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What an image was composed from: enough to compose it again, on this or another base.
///
/// What it does not hold stands in the image itself: layer digests in the manifest, diff IDs in the
/// config, the family in the media types.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// Version of this record; 1.
    pub version: u64,
    /// The base; `None` is `scratch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Source>,
    /// The deps images, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deps: Vec<Source>,
    /// The tars and directories, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Source>,
    /// The user's own patch; those of the deps images are in their labels.
    #[serde(default, skip_serializing_if = "ConfigPatch::is_default")]
    pub patch: ConfigPatch,
    /// The user's own annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Where the added layers went.
    pub position: Position,
    /// The `created` that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Runs of layers, lowest first, one for the base and one for each deps image and local
    /// source: `[["base",3],["deps",1]]`.
    pub layers: Vec<(Role, usize)>,
}

/// The only version of [`Intent`] so far.
pub(crate) const INTENT_VERSION: u64 = 1;

/// Why a label cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// Not the JSON that it should be.
    #[error("the label {label:?} cannot be read: {source}")]
    Syntax {
        /// The label.
        label: &'static str,
        /// What is wrong with its value.
        source: serde_json::Error,
    },
    /// JSON that readers could take for different things.
    #[error("the label {label:?} cannot be read: {source}")]
    Json {
        /// The label.
        label: &'static str,
        /// What is wrong with its value.
        source: JsonError,
    },
    /// Written by a newer ohoci.
    #[error(
        "the record of how the image was composed has version {0}; this ohoci reads {INTENT_VERSION}"
    )]
    Version(u64),
}

impl Intent {
    /// The role of each of `count` layers, lowest first; `None` when the record is about another
    /// number of layers, as after someone appended one with another tool.
    #[must_use]
    pub fn roles(&self, count: usize) -> Option<Vec<Role>> {
        let recorded = self
            .layers
            .iter()
            .try_fold(0usize, |sum, (_, run)| sum.checked_add(*run))?;
        (recorded == count).then(|| {
            self.layers
                .iter()
                .flat_map(|(role, run)| std::iter::repeat_n(*role, *run))
                .collect()
        })
    }
}

/// A label of an image config; `config` is the whole document.
#[must_use]
pub fn get<'a>(config: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    config.get("config")?.get("Labels")?.get(name)?.as_str()
}

/// Sets a label of an image config; `config` is the whole document.
///
/// # Errors
/// When `config` or `config.Labels` is there and no object.
pub fn set(config: &mut Map<String, Value>, name: &str, value: &str) -> Result<(), PatchError> {
    let inner = object_at(config, "config", "config")?;
    object_at(inner, "Labels", "config.Labels")?.insert(name.to_owned(), value.into());
    Ok(())
}

/// Removes a label, if it is there.
pub fn remove(config: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Object(inner)) = config.get_mut("config")
        && let Some(Value::Object(labels)) = inner.get_mut("Labels")
    {
        labels.shift_remove(name);
    }
}

/// The patch that a deps image carries for those who compose with it.
///
/// # Errors
/// When the label is there and no config patch.
pub fn patch(config: &Map<String, Value>) -> Result<Option<ConfigPatch>, LabelError> {
    read(config, annotation::PATCH)
}

/// What a composed image was made from.
///
/// # Errors
/// When the label is there and no record that this ohoci reads.
pub fn intent(config: &Map<String, Value>) -> Result<Option<Intent>, LabelError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    match read::<Version>(config, annotation::INTENT)? {
        None => Ok(None),
        Some(Version { version }) if version != INTENT_VERSION => Err(LabelError::Version(version)),
        Some(_) => read(config, annotation::INTENT),
    }
}

/// Writes what a composed image was made from.
///
/// # Errors
/// As [`set`].
pub(crate) fn set_intent(
    config: &mut Map<String, Value>,
    intent: &Intent,
) -> Result<(), PatchError> {
    set(config, annotation::INTENT, &canonical(intent))
}

fn read<T: serde::de::DeserializeOwned>(
    config: &Map<String, Value>,
    label: &'static str,
) -> Result<Option<T>, LabelError> {
    get(config, label)
        .map(|text| {
            json::parse(text.as_bytes(), &shape::RECORD)
                .map_err(|source| LabelError::Json { label, source })?;
            // serde takes an array for a struct too, and `[]` would be an empty patch.
            if text.trim_start().starts_with('[') {
                Err(serde::de::Error::custom("it is an array, not an object"))
            } else {
                serde_json::from_str(text)
            }
            .map_err(|source| LabelError::Syntax { label, source })
        })
        .transpose()
}

/// Fields in the order of the struct, maps in key order, no white space.
fn canonical<T: Serialize>(value: &T) -> String {
    // Only a map with keys that are no strings can fail, and there is none.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(object) => object,
            other => panic!("{other}"),
        }
    }

    fn full() -> Intent {
        Intent {
            version: 1,
            base: Some(Source {
                name: Some("registry.example/base:1".to_owned()),
                digest: Some(Digest::of(b"base")),
                path: None,
            }),
            deps: vec![Source {
                name: Some("registry.example/deps:1".to_owned()),
                digest: Some(Digest::of(b"deps")),
                path: Some("/openhands".to_owned()),
            }],
            local: vec![Source::default()],
            patch: ConfigPatch {
                user: Some("root".to_owned()),
                ..ConfigPatch::default()
            },
            annotations: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            position: Position::Bottom,
            created: Some("2020-01-01T00:00:00Z".to_owned()),
            layers: vec![(Role::Deps, 1), (Role::Local, 1), (Role::Base, 3)],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut config = object(json!({"os": "linux"}));
        assert_eq!(intent(&config).unwrap(), None);
        assert_eq!(patch(&config).unwrap(), None);
        set_intent(&mut config, &full()).unwrap();
        set(&mut config, annotation::PATCH, &canonical(&full().patch)).unwrap();
        assert_eq!(intent(&config).unwrap(), Some(full()));
        assert_eq!(patch(&config).unwrap(), Some(full().patch));
        remove(&mut config, annotation::INTENT);
        assert_eq!(intent(&config).unwrap(), None);
        assert_eq!(
            Value::Object(config).to_string(),
            r#"{"os":"linux","config":{"Labels":{"ohoci.patch":"{\"user\":\"root\"}"}}}"#
        );
    }

    #[test]
    fn the_record_has_one_form() {
        let base = Digest::of(b"base");
        let intent = Intent {
            deps: Vec::new(),
            local: Vec::new(),
            patch: ConfigPatch::default(),
            annotations: BTreeMap::new(),
            created: None,
            position: Position::Top,
            layers: vec![(Role::Base, 3)],
            ..full()
        };
        assert_eq!(
            canonical(&intent),
            format!(
                r#"{{"version":1,"base":{{"name":"registry.example/base:1","digest":"{base}"}},"position":"top","layers":[["base",3]]}}"#
            )
        );
    }

    #[test]
    fn layers_are_told_apart() {
        use Role::{Base, Deps, Local};
        assert_eq!(full().roles(5), Some(vec![Deps, Local, Base, Base, Base]));
        assert_eq!(full().roles(6), None);
        let hostile = Intent {
            layers: vec![(Base, usize::MAX), (Base, 6)],
            ..full()
        };
        assert_eq!(hostile.roles(5), None);
    }

    #[test]
    fn foreign_labels_are_refused_with_a_reason() {
        let with = |label: &str, value: &str| object(json!({"config": {"Labels": {label: value}}}));
        for bad in ["", "[]", "{\"usr\":\"root\"}", "{\"env\":{\"A\":1}}"] {
            let error = patch(&with(annotation::PATCH, bad)).unwrap_err();
            assert!(error.to_string().contains("ohoci.patch"), "{error}");
        }
        let newer = with(annotation::INTENT, r#"{"version":2,"news":true}"#);
        assert!(matches!(intent(&newer), Err(LabelError::Version(2))));
        assert!(intent(&with(annotation::INTENT, r#"{"version":1}"#)).is_err());
        let mut odd = object(json!({"config": {"Labels": ["x"]}}));
        assert_eq!(patch(&odd).unwrap(), None);
        assert!(set(&mut odd, "a", "b").is_err());
    }
}
