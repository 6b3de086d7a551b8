//! The `index.json` of an OCI layout: choosing an image in it, and changing it (image-spec
//! `image-layout.md`, "index.json file"). No I/O.

use bytes::Bytes;
use serde_json::{Map, Value};

use ohoci_image::document::DocumentError;
use ohoci_image::{Descriptor, Digest, Document, Platform, annotation, media_type, shape};

/// Largest `index.json` that is read or written, in bytes: half a million tags, which a served repository
/// may come to, and which whoever reads the same layout as files is to be able to read.
pub const MAX_INDEX: u64 = 256 << 20;

/// An `index.json` as a tree, so that whatever ohoci does not know in it survives a change.
#[derive(Clone, Debug)]
pub struct Index {
    object: Map<String, Value>,
}

/// Which image of a layout is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The only one there is.
    Only,
    /// The one with this `org.opencontainers.image.ref.name`.
    Name(String),
    /// The one with this digest, listed or not.
    Digest(Digest),
}

/// What a [`Selection`] turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Chosen {
    /// The manifest or index that an entry points at.
    Entry(Box<Descriptor>),
    /// `index.json` itself: some tools write the index of a multi-platform image there, one entry
    /// per platform and none with a name.
    WholeIndex,
}

/// Why no image could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Nothing has that name or digest.
    #[error("there is no image {wanted:?}")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// There is no image at all.
    #[error("there is no image in it")]
    Empty,
    /// Several images, and no name given.
    #[error("there are {count} images in it, and the reference names none of them")]
    Several {
        /// How many.
        count: usize,
        /// The names that there are.
        names: Vec<String>,
    },
    /// One name stands for different images.
    #[error("{0:?} names more than one image")]
    Ambiguous(String),
    /// The entry's descriptor is broken.
    #[error("{0}")]
    Broken(String),
}

/// Why bytes are no `index.json`.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Not a JSON object.
    #[error("index.json cannot be read: {0}")]
    Document(#[from] DocumentError),
    /// No list of manifests.
    #[error("index.json has no \"manifests\" list")]
    NoManifests,
}

impl Selection {
    /// What stands behind the path in a reference: a name, `@` and a digest, or nothing.
    #[must_use]
    pub fn parse(tag: Option<&str>) -> Self {
        match tag {
            None => Self::Only,
            Some(tag) => match tag.strip_prefix('@').map(str::parse) {
                Some(Ok(digest)) => Self::Digest(digest),
                _ => Self::Name(tag.to_owned()),
            },
        }
    }
}

impl Index {
    /// An index that lists nothing.
    #[must_use]
    pub fn empty() -> Self {
        let mut object = Map::new();
        object.insert("schemaVersion".to_owned(), 2.into());
        object.insert("mediaType".to_owned(), media_type::OCI_INDEX.into());
        object.insert("manifests".to_owned(), Value::Array(Vec::new()));
        Self { object }
    }

    /// Parses an `index.json`.
    ///
    /// # Errors
    /// When it is not a JSON object with a list of manifests. Broken entries are no error until
    /// one of them is asked for.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, IndexError> {
        let document = Document::parse(bytes, &shape::MANIFEST)?;
        let mut object = document.object().clone();
        match object.get_mut("manifests") {
            Some(Value::Array(_)) => {}
            // `docker save` of 25.0 writes null for an empty list (moby issue 47210).
            Some(list @ Value::Null) => *list = Value::Array(Vec::new()),
            _ => return Err(IndexError::NoManifests),
        }
        Ok(Self { object })
    }

    /// What stands beside the list of manifests, and the entries of that.
    #[must_use]
    pub fn into_parts(mut self) -> (Map<String, Value>, Vec<Value>) {
        let entries = match self.object.remove("manifests") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        (self.object, entries)
    }

    /// The document as it is to be written.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        Document::from_object(self.object.clone()).bytes().clone()
    }

    /// The entries as they stand there.
    #[must_use]
    pub fn entries(&self) -> &[Value] {
        self.object
            .get("manifests")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// Changes the list; that there is one was checked when the document was read.
    fn edit(&mut self, change: impl FnOnce(&mut Vec<Value>) -> bool) -> bool {
        self.object
            .get_mut("manifests")
            .and_then(Value::as_array_mut)
            .is_some_and(change)
    }

    /// The names that there are, sorted, each once.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .entries()
            .iter()
            .filter_map(name_of)
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Finds the image that is meant.
    ///
    /// # Errors
    /// See [`ChoiceError`].
    pub fn choose(&self, selection: &Selection) -> Result<Chosen, ChoiceError> {
        let not_found = |wanted: String| ChoiceError::NotFound {
            wanted,
            names: self.names(),
        };
        match selection {
            Selection::Name(name) => {
                let named = |entry: &&Value| name_of(entry) == Some(name);
                let mut found = self.entries().iter().filter(named);
                let first = found.next().ok_or_else(|| not_found(name.clone()))?;
                if found.any(|other| digest_of(other) != digest_of(first)) {
                    return Err(ChoiceError::Ambiguous(name.clone()));
                }
                entry_of(first)
            }
            Selection::Digest(digest) => {
                let text = digest.to_string();
                self.entries()
                    .iter()
                    .find(|entry| digest_of(entry) == Some(&text))
                    .ok_or_else(|| not_found(text.clone()))
                    .and_then(entry_of)
            }
            Selection::Only => {
                let entries = self.entries();
                // Documents about an image stand beside it, and whoever names none means the image.
                let mut images = entries
                    .iter()
                    .filter(|entry| !is_referrer(entry))
                    .peekable();
                let first = images
                    .peek()
                    .copied()
                    .or(entries.first())
                    .ok_or(ChoiceError::Empty)?;
                if images.all(|entry| digest_of(entry) == digest_of(first)) {
                    return entry_of(first);
                }
                let part = |entry: &Value| {
                    name_of(entry).is_none()
                        && entry
                            .get("platform")
                            .and_then(Platform::from_json)
                            .is_some()
                };
                if entries.iter().all(part) {
                    return Ok(Chosen::WholeIndex);
                }
                Err(ChoiceError::Several {
                    count: entries.len(),
                    names: self.names(),
                })
            }
        }
    }

    /// Lists a manifest under a name, or under its digest alone.
    ///
    /// What had the name before loses its entry; an entry that lists the same manifest without a
    /// name takes the name on. Everything else stays as it is. Says whether anything changed.
    pub fn set(
        &mut self,
        name: Option<&str>,
        manifest: &Descriptor,
        platform: Option<&Platform>,
    ) -> bool {
        let digest = manifest.digest.to_string();
        let is_it = |entry: &Value| digest_of(entry) == Some(&digest);
        self.edit(|entries| {
            let Some(name) = name else {
                if entries.iter().any(is_it) {
                    return false;
                }
                entries.push(new_entry(None, manifest, platform));
                return true;
            };
            let bears = |entry: &Value| name_of(entry) == Some(name);
            let mut bearers = entries.iter().filter(|entry| bears(entry));
            if bearers.next().is_some_and(is_it) && bearers.next().is_none() {
                return false;
            }
            let place = entries.iter().position(bears).unwrap_or(entries.len());
            entries.retain(|entry| !bears(entry));
            let nameless = |entry: &&mut Value| is_it(entry) && name_of(entry).is_none();
            if let Some(entry) = entries.iter_mut().find(nameless) {
                set_name(entry, name);
            } else {
                let entry = new_entry(Some(name), manifest, platform);
                entries.insert(place.min(entries.len()), entry);
            }
            true
        })
    }

    /// Sorts the entries by name and digest, so that the order in which they came does not show.
    pub fn sort(&mut self) {
        self.edit(|entries| {
            entries.sort_by(|a, b| (name_of(a), digest_of(a)).cmp(&(name_of(b), digest_of(b))));
            true
        });
    }
}

/// The name of an entry.
fn name_of(entry: &Value) -> Option<&str> {
    entry
        .get("annotations")?
        .get(annotation::REF_NAME)?
        .as_str()
}

fn digest_of(entry: &Value) -> Option<&str> {
    entry.get("digest")?.as_str()
}

fn entry_of(entry: &Value) -> Result<Chosen, ChoiceError> {
    match Descriptor::from_json(entry) {
        Ok(descriptor) => Ok(Chosen::Entry(Box::new(descriptor))),
        Err(error) => Err(ChoiceError::Broken(error.to_string())),
    }
}

fn set_name(entry: &mut Value, name: &str) {
    if let Some(object) = entry.as_object_mut() {
        let annotations = object
            .entry("annotations")
            .or_insert_with(|| Value::Object(Map::new()));
        if !annotations.is_object() {
            *annotations = Value::Object(Map::new());
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(annotation::REF_NAME.to_owned(), name.into());
        }
    }
}

/// Whether it lists an artifact that has no name of its own.
fn is_referrer(entry: &Value) -> bool {
    entry.get("artifactType").is_some_and(Value::is_string) && name_of(entry).is_none()
}

fn new_entry(name: Option<&str>, manifest: &Descriptor, platform: Option<&Platform>) -> Value {
    let mut object = manifest.to_json();
    if let Some(artifact_type) = &manifest.artifact_type {
        object.insert("artifactType".to_owned(), artifact_type.clone().into());
    }
    if let Some(platform) = platform {
        object.insert("platform".to_owned(), Value::Object(platform.to_json()));
    }
    let mut entry = Value::Object(object);
    if let Some(name) = name {
        set_name(&mut entry, name);
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn manifest(content: &str) -> Descriptor {
        Descriptor::of(media_type::OCI_MANIFEST, content.as_bytes())
    }

    fn named(index: &Index, name: &str) -> Result<Chosen, ChoiceError> {
        index.choose(&Selection::Name(name.to_owned()))
    }

    #[test]
    fn a_moved_tag_leaves_nothing_behind_and_touches_no_other() {
        let mut index = Index::empty();
        assert!(index.set(Some("a"), &manifest("1"), None));
        assert!(index.set(Some("b"), &manifest("1"), None));
        assert!(!index.set(Some("a"), &manifest("1"), None));
        assert!(index.set(Some("a"), &manifest("2"), None));
        assert_eq!(index.entries().len(), 2);
        let Ok(Chosen::Entry(entry)) = named(&index, "a") else {
            panic!("a is gone");
        };
        assert_eq!(entry.digest, manifest("2").digest);
        assert_eq!(index.names(), ["a", "b"]);
    }

    #[test]
    fn a_manifest_listed_by_digest_takes_its_name_on() {
        let mut index = Index::empty();
        assert!(index.set(None, &manifest("1"), None));
        assert!(!index.set(None, &manifest("1"), None));
        assert!(index.set(Some("a"), &manifest("1"), None));
        assert_eq!(index.entries().len(), 1);
        assert!(named(&index, "a").is_ok());
    }

    #[test]
    fn what_is_not_known_survives() {
        let text = json!({
            "schemaVersion": 2, "x-top": [1.0], "manifests": [
                {"mediaType": "x/y", "digest": "blake3:00", "size": 1, "x-vendor": {"k": null}},
                {"digest": manifest("1").digest.to_string(), "size": 1, "data": "MQ==",
                 "mediaType": media_type::OCI_MANIFEST, "annotations": {"k": "v"}}],
            "annotations": {"org.example": "é"}
        })
        .to_string();
        let mut index = Index::parse(text.clone().into_bytes()).unwrap();
        assert_eq!(index.to_bytes(), text.as_bytes());
        index.set(
            Some("new"),
            &manifest("2"),
            Some(&Platform::new("linux", "arm64")),
        );
        index.set(Some("old"), &manifest("1"), None);
        let written = String::from_utf8(index.to_bytes().to_vec()).unwrap();
        assert!(written.contains(r#""x-top":[1.0]"#), "{written}");
        assert!(written.contains(r#""x-vendor":{"k":null}"#), "{written}");
        assert!(written.contains(r#""data":"MQ==""#), "{written}");
        assert!(
            written.contains(r#"{"k":"v","org.opencontainers.image.ref.name":"old"}"#),
            "{written}"
        );
        assert!(written.contains(r#""platform":{"architecture":"arm64","os":"linux"}"#));
    }

    #[test]
    fn without_a_name_there_must_be_one_image() {
        let mut index = Index::empty();
        assert_eq!(index.choose(&Selection::Only), Err(ChoiceError::Empty));
        index.set(Some("a"), &manifest("1"), None);
        index.set(Some("b"), &manifest("1"), None);
        assert!(matches!(
            index.choose(&Selection::Only),
            Ok(Chosen::Entry(_))
        ));
        index.set(Some("b"), &manifest("2"), None);
        assert_eq!(
            index.choose(&Selection::Only),
            Err(ChoiceError::Several {
                count: 2,
                names: vec!["a".to_owned(), "b".to_owned()]
            })
        );
        assert_eq!(
            named(&index, "c"),
            Err(ChoiceError::NotFound {
                wanted: "c".to_owned(),
                names: vec!["a".to_owned(), "b".to_owned()]
            })
        );
    }

    #[test]
    fn an_index_of_platforms_without_names_is_one_image() {
        let mut index = Index::empty();
        index.set(None, &manifest("1"), Some(&Platform::new("linux", "amd64")));
        index.set(None, &manifest("2"), Some(&Platform::new("linux", "arm64")));
        assert_eq!(index.choose(&Selection::Only), Ok(Chosen::WholeIndex));
    }

    #[test]
    fn hostile_entries_are_refused_when_chosen_and_harmless_otherwise() {
        let digest = manifest("1").digest;
        let index = Index::parse(
            json!({"manifests": [
                7, null, {"annotations": []}, {"annotations": {(annotation::REF_NAME): 1}},
                {"mediaType": "a/b", "size": -1, "digest": digest.to_string(),
                 "annotations": {(annotation::REF_NAME): "negative"}},
                {"mediaType": "a/b", "size": 1, "digest": "sha256:../../x",
                 "annotations": {(annotation::REF_NAME): "escape"}},
                {"mediaType": "a/b", "size": 1, "digest": digest.to_string(),
                 "annotations": {(annotation::REF_NAME): "twice"}},
                {"mediaType": "a/b", "size": 1, "digest": manifest("2").digest.to_string(),
                 "annotations": {(annotation::REF_NAME): "twice"}},
                {"mediaType": "a/b", "size": 1, "digest": digest.to_string(),
                 "annotations": {(annotation::REF_NAME): "good"}}]})
            .to_string(),
        )
        .unwrap();
        assert!(matches!(
            named(&index, "negative"),
            Err(ChoiceError::Broken(_))
        ));
        assert!(matches!(
            named(&index, "escape"),
            Err(ChoiceError::Broken(_))
        ));
        assert!(matches!(
            named(&index, "twice"),
            Err(ChoiceError::Ambiguous(_))
        ));
        assert!(named(&index, "good").is_ok());
        assert!(matches!(
            index.choose(&Selection::Only),
            Err(ChoiceError::Several { .. })
        ));
        for bad in [
            "",
            "[]",
            "{}",
            "{\"manifests\":{}}",
            "{\"manifests\":[",
            "\u{1}",
        ] {
            assert!(Index::parse(bad.as_bytes().to_vec()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_can_be_asked_for() {
        let digest = Digest::of(b"x");
        assert_eq!(Selection::parse(None), Selection::Only);
        assert_eq!(
            Selection::parse(Some(&format!("@{digest}"))),
            Selection::Digest(digest)
        );
        assert_eq!(
            Selection::parse(Some("@x")),
            Selection::Name("@x".to_owned())
        );
    }
}
