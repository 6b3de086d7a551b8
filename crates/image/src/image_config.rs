//! Image configs: the exact document plus the view that ohoci reads (image-spec `config.md`).

use serde_json::{Map, Value, json};

use super::digest::{Digest, DigestError};
use super::document::Document;
use super::platform::Platform;

/// Largest config that is read or written, in bytes: what podman, skopeo and CRI-O take
/// (containers/image `internal/iolimits`, `MaxConfigBodySize`).
pub const MAX_SIZE: u64 = 4 << 20;

/// What stands for "at no particular moment": there is none to name without a clock.
pub(crate) const NO_MOMENT: &str = "1970-01-01T00:00:00Z";

/// A view of an image config.
#[derive(Clone, Debug)]
pub struct ImageConfig {
    document: Document,
    platform: Platform,
    diff_ids: Vec<Digest>,
}

/// How `history` relates to the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// There is none.
    Absent,
    /// Its entries that are not marked `empty_layer` are as many as the layers.
    Consistent,
    /// They are not, or it is malformed.
    Inconsistent,
}

/// Why a document is no image config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageConfigError {
    /// `os` or `architecture` is missing or empty.
    #[error("the image config names no `os` and `architecture`")]
    NoPlatform,
    /// `rootfs` is something else than a list of layers.
    #[error("`rootfs` of the image config is not a list of layers")]
    RootFs,
    /// A diff ID that is no digest.
    #[error("`rootfs.diff_ids[{at}]` of the image config: {source}")]
    DiffId {
        /// Which one, from 0.
        at: usize,
        /// What is wrong with it.
        source: DigestError,
    },
}

impl ImageConfig {
    /// Reads a config that may name no platform (buildpacks and `crane append` make such); what it
    /// leaves out is taken from `assumed`, in the document's object, too; its bytes stay what they
    /// are. Says whether anything was.
    ///
    /// # Errors
    /// See [`ImageConfigError`].
    pub fn parse_assuming(
        document: Document,
        assumed: &Platform,
    ) -> Result<(Self, bool), ImageConfigError> {
        let lacks = |key: &str| match document.object().get(key) {
            None | Some(Value::Null) => true,
            Some(value) => value.as_str() == Some(""),
        };
        let (os, architecture) = (lacks("os"), lacks("architecture"));
        if !os && !architecture {
            return Ok((Self::parse(document)?, false));
        }
        let mut object = document.object().clone();
        if os {
            object.insert("os".to_owned(), assumed.os.clone().into());
        }
        if architecture {
            object.insert(
                "architecture".to_owned(),
                assumed.architecture.clone().into(),
            );
            if let Some(variant) = &assumed.variant
                && lacks("variant")
            {
                object.insert("variant".to_owned(), variant.clone().into());
            }
        }
        Ok((Self::parse(document.read_as(object))?, true))
    }

    /// Reads a config.
    ///
    /// # Errors
    /// See [`ImageConfigError`].
    pub fn parse(document: Document) -> Result<Self, ImageConfigError> {
        let platform = Platform::from_json(&Value::Object(platform_fields(document.object())))
            .filter(|platform| !platform.os.is_empty() && !platform.architecture.is_empty())
            .ok_or(ImageConfigError::NoPlatform)?;
        let diff_ids = diff_ids(document.object())?;
        Ok(Self {
            document,
            platform,
            diff_ids,
        })
    }

    /// The config of an image without layers.
    ///
    /// Its `created` is the beginning of 1970.
    #[must_use]
    pub fn scratch(platform: &Platform) -> Self {
        let mut object = Map::from_iter([("created".to_owned(), NO_MOMENT.into())]);
        object.extend(platform.to_json());
        object.insert(
            "rootfs".to_owned(),
            json!({"type": "layers", "diff_ids": []}),
        );
        object.insert("history".to_owned(), json!([]));
        Self {
            document: Document::from_object(object),
            platform: platform.clone(),
            diff_ids: Vec::new(),
        }
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What the image runs on.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Digests of the uncompressed layers, lowest first.
    #[must_use]
    pub fn diff_ids(&self) -> &[Digest] {
        &self.diff_ids
    }

    /// When the image was made, as the config says it.
    #[must_use]
    pub fn created(&self) -> Option<&str> {
        self.document.object().get("created")?.as_str()
    }

    /// How the history relates to the layers.
    #[must_use]
    pub fn history(&self) -> History {
        let list = match self.document.object().get("history") {
            None | Some(Value::Null) => return History::Absent,
            Some(Value::Array(list)) => list,
            Some(_) => return History::Inconsistent,
        };
        if list.is_empty() && !self.diff_ids.is_empty() {
            return History::Absent;
        }
        let mut layers = 0;
        for entry in list {
            match (entry.is_object(), entry.get("empty_layer")) {
                (true, None | Some(Value::Null | Value::Bool(false))) => layers += 1,
                (true, Some(Value::Bool(true))) => {}
                _ => return History::Inconsistent,
            }
        }
        if layers == self.diff_ids.len() {
            History::Consistent
        } else {
            History::Inconsistent
        }
    }
}

fn platform_fields(object: &Map<String, Value>) -> Map<String, Value> {
    ["os", "architecture", "variant", "os.version", "os.features"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), object.get(key)?.clone())))
        .collect()
}

fn diff_ids(object: &Map<String, Value>) -> Result<Vec<Digest>, ImageConfigError> {
    let rootfs = match object.get("rootfs") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(rootfs)) => rootfs,
        Some(_) => return Err(ImageConfigError::RootFs),
    };
    if rootfs.get("type").is_some_and(|kind| kind != "layers") {
        return Err(ImageConfigError::RootFs);
    }
    let list = match rootfs.get("diff_ids") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(ImageConfigError::RootFs),
    };
    list.iter()
        .enumerate()
        .map(|(at, value)| {
            value
                .as_str()
                .unwrap_or_default()
                .parse()
                .map_err(|source| ImageConfigError::DiffId { at, source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(value: Value) -> Result<ImageConfig, ImageConfigError> {
        let Value::Object(object) = value else {
            panic!("{value}")
        };
        ImageConfig::parse(Document::from_object(object))
    }

    fn with_history(layers: usize, history: &Value) -> History {
        let diff_ids: Vec<String> = (0..layers)
            .map(|at| Digest::of(at.to_string().as_bytes()).to_string())
            .collect();
        config(json!({
            "os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        }))
        .unwrap()
        .history()
    }

    #[test]
    fn history_is_compared_with_the_layers() {
        let (layer, empty) = (json!({"created_by": "x"}), json!({"empty_layer": true}));
        let explicit = json!({"empty_layer": false});
        for (layers, history, want) in [
            (1, Value::Null, History::Absent),
            (1, json!([]), History::Absent),
            (0, json!([]), History::Consistent),
            (0, json!([empty]), History::Consistent),
            (2, json!([layer, empty, explicit]), History::Consistent),
            (2, json!([layer, empty]), History::Inconsistent),
            (1, json!([layer, layer]), History::Inconsistent),
            (1, json!([null]), History::Inconsistent),
            (
                1,
                json!([layer, {"empty_layer": "yes"}]),
                History::Inconsistent,
            ),
            (1, json!("x"), History::Inconsistent),
        ] {
            assert_eq!(with_history(layers, &history), want, "{layers} {history}");
        }
        assert_eq!(
            config(json!({"os": "linux", "architecture": "arm"}))
                .unwrap()
                .history(),
            History::Absent
        );
    }

    #[test]
    fn platform_is_read_whole() {
        let config = config(json!({
            "os": "windows", "architecture": "amd64", "os.version": "10.0.17763.1",
            "os.features": ["win32k"], "variant": "", "created": "2020-01-01T00:00:00Z",
        }))
        .unwrap();
        assert_eq!(
            config.platform().os_version.as_deref(),
            Some("10.0.17763.1")
        );
        assert_eq!(config.platform().os_features, ["win32k"]);
        assert_eq!(config.platform().variant, None);
        assert_eq!(config.created(), Some("2020-01-01T00:00:00Z"));
    }

    #[test]
    fn what_is_no_image_config() {
        let base = json!({"os": "linux", "architecture": "amd64"});
        for (key, bad) in [
            ("os", json!("")),
            ("architecture", json!(1)),
            ("rootfs", json!([])),
            ("rootfs", json!({"type": "layers+base"})),
            ("rootfs", json!({"type": "layers", "diff_ids": "x"})),
            ("rootfs", json!({"type": "layers", "diff_ids": [1]})),
            (
                "rootfs",
                json!({"type": "layers", "diff_ids": ["sha256:00"]}),
            ),
        ] {
            let mut value = base.clone();
            value[key] = bad;
            assert!(config(value.clone()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_platform_that_is_left_out_is_assumed_and_one_that_is_there_is_not() {
        let arm: Platform = "linux/arm/v6".parse().unwrap();
        let read = |value: Value| {
            let Value::Object(object) = value else {
                panic!("{value}")
            };
            let (config, assumed) =
                ImageConfig::parse_assuming(Document::from_object(object), &arm).unwrap();
            (config.platform().to_string(), assumed)
        };
        let assumed = ("linux/arm/v6".to_owned(), true);
        assert_eq!(read(json!({"os": "", "architecture": ""})), assumed);
        assert_eq!(read(json!({})), assumed);
        assert_eq!(read(json!({"os": null, "architecture": ""})), assumed);
        let there = json!({"os": "linux", "architecture": "amd64"});
        assert_eq!(read(there), ("linux/amd64".to_owned(), false));
        let half = json!({"os": "", "architecture": "amd64"});
        assert_eq!(read(half), ("linux/amd64".to_owned(), true));
    }

    #[test]
    fn scratch_is_what_it_says() {
        let platform: Platform = "linux/arm/v6".parse().unwrap();
        let config = ImageConfig::scratch(&platform);
        assert_eq!(
            ImageConfig::parse(config.document().clone())
                .unwrap()
                .platform(),
            &platform
        );
        assert_eq!(config.history(), History::Consistent);
        assert_eq!(config.created(), Some(NO_MOMENT));
        assert_eq!(config.diff_ids(), []);
    }
}
