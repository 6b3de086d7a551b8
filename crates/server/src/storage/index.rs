//! What a repository's `index.json` says: tags, manifests, and who refers to whom. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use ohoci_image::{Content, Descriptor, Digest, Manifest, annotation, media_type, reference};

/// What the index remembers of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Its media type, which is the `Content-Type` it is served with.
    pub(crate) media_type: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// The manifests that it lists, when it is an index.
    pub(crate) lists: Vec<Digest>,
    /// The manifest that it refers to.
    pub(crate) subject: Option<Digest>,
}

impl Facts {
    /// Reads them out of a manifest.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let lists = match manifest.content() {
            Content::Image { .. } => Vec::new(),
            Content::Index { manifests } => manifests
                .iter()
                .filter(|child| is_manifest(&child.media_type))
                .map(|child| child.digest.clone())
                .collect(),
        };
        Self {
            media_type: manifest.media_type().to_owned(),
            size: manifest.bytes().len() as u64,
            lists,
            subject: subject(manifest),
        }
    }
}

/// Whether this is the type of a manifest or of an index.
pub(crate) fn is_manifest(text: &str) -> bool {
    media_type::is_manifest(text) || media_type::is_index(text)
}

/// The digest of the manifest that this one refers to.
pub(crate) fn subject(manifest: &Manifest) -> Option<Digest> {
    Some(manifest.subject()?.digest)
}

/// A manifest in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its media type.
    pub(crate) media_type: String,
    /// Its size in bytes.
    pub(crate) size: u64,
}

#[derive(Clone, Debug)]
struct Held {
    facts: Facts,
    /// How many tags and foreign names it has.
    names: usize,
    /// Its entry without a tag.
    entry: String,
}

#[derive(Clone, Debug)]
struct Tag {
    digest: Digest,
    entry: String,
}

#[derive(Clone, Debug)]
struct Foreign {
    digest: Option<Digest>,
    entry: String,
}

/// A repository's index in memory.
///
/// Entries are kept as the text that goes into the file, so that writing thousands of them is
/// copying.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    /// Fields of the file other than `manifests`.
    head: Map<String, Value>,
    tags: BTreeMap<String, Tag>,
    manifests: BTreeMap<Digest, Held>,
    /// How many manifests list a manifest. It need not be held itself.
    listed: HashMap<Digest, usize>,
    referrers: HashMap<Digest, BTreeSet<Digest>>,
    /// Entries that are none of the registry's: under names that are no tags, or of content that
    /// is not there or is no manifest.
    foreign: Vec<Foreign>,
}

impl Index {
    /// Reads the text of an `index.json`. `look` gives the facts of a manifest by its digest and
    /// announced type; `None` when it is not there or is none.
    ///
    /// # Errors
    /// When the text is no JSON object with a list of manifests.
    pub(crate) fn read(
        text: &[u8],
        mut look: impl FnMut(&Digest, &str) -> Option<Facts>,
    ) -> Result<Self, String> {
        let document = ohoci_layout::Index::parse(text.to_vec());
        let (head, list) = document.map_err(|error| error.to_string())?.into_parts();
        let mut index = Self {
            head,
            ..Self::default()
        };
        // Manifests that indexes list need not stand in the file. They are looked for in rounds,
        // and none twice, so that indexes in indexes come to an end.
        let mut round = Vec::new();
        for value in list {
            if let Some(descriptor) = index.take(&value) {
                round.push(descriptor);
            }
        }
        while let Some((digest, media_type, entry)) = round.pop() {
            if index.manifests.contains_key(&digest) {
                continue;
            }
            let Some(facts) = look(&digest, &media_type) else {
                index.foreign.extend(entry.map(|entry| Foreign {
                    digest: Some(digest),
                    entry,
                }));
                continue;
            };
            for child in &facts.lists {
                if !index.manifests.contains_key(child) {
                    round.push((child.clone(), String::new(), None));
                }
            }
            index.hold(&digest, facts, entry);
        }
        let tags = index.tags.values().map(|tag| &tag.digest);
        let foreign = index.foreign.iter().filter_map(|own| own.digest.as_ref());
        for digest in tags.chain(foreign) {
            if let Some(held) = index.manifests.get_mut(digest) {
                held.names += 1;
            }
        }
        Ok(index)
    }

    /// Takes an entry of the file. What is to be looked up comes back: digest, media type, and the
    /// entry itself if it has no tag.
    fn take(&mut self, value: &Value) -> Option<(Digest, String, Option<String>)> {
        let Ok(descriptor) = Descriptor::from_json(value) else {
            self.foreign.push(Foreign {
                digest: None,
                entry: value.to_string(),
            });
            return None;
        };
        let name = descriptor.annotations.get(annotation::REF_NAME);
        match name {
            Some(name) if !reference::is_tag(name) => {
                self.foreign.push(Foreign {
                    digest: Some(descriptor.digest.clone()),
                    entry: value.to_string(),
                });
                Some((descriptor.digest, descriptor.media_type, None))
            }
            // A name may stand there twice; like other readers, take the first.
            Some(name) if !self.tags.contains_key(name) => {
                let tag = Tag {
                    digest: descriptor.digest.clone(),
                    entry: value.to_string(),
                };
                self.tags.insert(name.clone(), tag);
                Some((descriptor.digest, descriptor.media_type, None))
            }
            Some(_) => Some((descriptor.digest, descriptor.media_type, None)),
            None => Some((
                descriptor.digest,
                descriptor.media_type,
                Some(value.to_string()),
            )),
        }
    }

    fn hold(&mut self, digest: &Digest, facts: Facts, entry: Option<String>) {
        for child in &facts.lists {
            *self.listed.entry(child.clone()).or_default() += 1;
        }
        if let Some(subject) = &facts.subject {
            let referrers = self.referrers.entry(subject.clone()).or_default();
            referrers.insert(digest.clone());
        }
        let entry = entry.unwrap_or_else(|| {
            let plain = Descriptor::new(facts.media_type.clone(), digest.clone(), facts.size);
            Value::Object(plain.to_json()).to_string()
        });
        let held = Held {
            facts,
            names: 0,
            entry,
        };
        self.manifests.insert(digest.clone(), held);
    }

    /// The text of the `index.json`: one entry per line, tags first, everything in order.
    pub(crate) fn text(&self) -> String {
        let mut head = self.head.clone();
        head.entry("schemaVersion").or_insert_with(|| json!(2));
        head.entry("mediaType")
            .or_insert_with(|| json!(media_type::OCI_INDEX));
        let mut text = Value::Object(head).to_string();
        text.pop();
        text.push_str(",\"manifests\":[");
        let untagged = self.manifests.iter().filter(|(digest, held)| {
            held.names == 0 && self.listed.get(*digest).copied().unwrap_or_default() == 0
        });
        let entries = self.tags.values().map(|tag| &tag.entry);
        let entries = entries
            .chain(untagged.map(|(_, held)| &held.entry))
            .chain(self.foreign.iter().map(|own| &own.entry));
        for (at, entry) in entries.enumerate() {
            text.push_str(if at == 0 { "\n" } else { ",\n" });
            text.push_str(entry);
        }
        text.push_str("\n]}\n");
        text
    }

    /// Records a manifest and names it.
    pub(crate) fn put(&mut self, digest: &Digest, facts: Facts, tags: &[String]) {
        let plain = Descriptor::new(facts.media_type.clone(), digest.clone(), facts.size).to_json();
        // The same bytes can come again under another type; what was known of them goes first.
        let known = self.forget(digest).map_or(0, |held| held.names);
        self.hold(digest, facts, None);
        if let Some(held) = self.manifests.get_mut(digest) {
            held.names = known;
        }
        for name in tags {
            let mut entry = plain.clone();
            let annotations = json!({ annotation::REF_NAME: name });
            entry.insert("annotations".to_owned(), annotations);
            let tag = Tag {
                digest: digest.clone(),
                entry: Value::Object(entry).to_string(),
            };
            if let Some(before) = self.tags.insert(name.clone(), tag) {
                self.count_down(&before.digest);
            }
            if let Some(held) = self.manifests.get_mut(digest) {
                held.names += 1;
            }
        }
    }

    fn count_down(&mut self, digest: &Digest) {
        if let Some(held) = self.manifests.get_mut(digest) {
            held.names = held.names.saturating_sub(1);
        }
    }

    /// Takes a manifest out, but leaves its tags.
    fn forget(&mut self, digest: &Digest) -> Option<Held> {
        let held = self.manifests.remove(digest)?;
        for child in &held.facts.lists {
            if let Some(count) = self.listed.get_mut(child) {
                *count -= 1;
                if *count == 0 {
                    self.listed.remove(child);
                }
            }
        }
        if let Some(subject) = &held.facts.subject
            && let Some(referrers) = self.referrers.get_mut(subject)
        {
            referrers.remove(digest);
            if referrers.is_empty() {
                self.referrers.remove(subject);
            }
        }
        Some(held)
    }

    /// Takes a tag away; whether it was there.
    pub(crate) fn remove_tag(&mut self, name: &str) -> bool {
        let Some(tag) = self.tags.remove(name) else {
            return false;
        };
        self.count_down(&tag.digest);
        true
    }

    /// Takes a manifest and all its tags away; whether it was there.
    pub(crate) fn remove_manifest(&mut self, digest: &Digest) -> bool {
        if self.forget(digest).is_none() {
            return false;
        }
        self.tags.retain(|_, tag| tag.digest != *digest);
        self.foreign
            .retain(|own| own.digest.as_ref() != Some(digest));
        true
    }

    /// The manifest that a tag names.
    pub(crate) fn tagged(&self, name: &str) -> Option<Found> {
        self.tags.get(name).and_then(|tag| self.found(&tag.digest))
    }

    /// A manifest by its digest.
    pub(crate) fn found(&self, digest: &Digest) -> Option<Found> {
        self.manifests.get(digest).map(|held| Found {
            digest: digest.clone(),
            media_type: held.facts.media_type.clone(),
            size: held.facts.size,
        })
    }

    /// The tags behind `after`, in order.
    pub(crate) fn tags<'a>(&'a self, after: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        self.tags
            .range::<str, _>((from, Unbounded))
            .map(|(name, _)| name.as_str())
    }

    /// The manifests that refer to `subject`, in order of their digests.
    pub(crate) fn referrers(&self, subject: &Digest) -> Vec<Found> {
        let digests = self.referrers.get(subject).into_iter().flatten();
        digests.filter_map(|digest| self.found(digest)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn image() -> Facts {
        Facts {
            media_type: media_type::OCI_MANIFEST.to_owned(),
            size: 7,
            lists: Vec::new(),
            subject: None,
        }
    }

    fn listing(children: &[&str]) -> Facts {
        Facts {
            media_type: media_type::OCI_INDEX.to_owned(),
            lists: children.iter().map(|child| digest(child)).collect(),
            ..image()
        }
    }

    fn entries(index: &Index) -> Vec<(Option<String>, Digest)> {
        let value: Value = serde_json::from_str(&index.text()).unwrap();
        let list = value["manifests"].as_array().unwrap();
        let read = list.iter().map(|entry| {
            let descriptor = Descriptor::from_json(entry).unwrap();
            let name = descriptor.annotations.get(annotation::REF_NAME).cloned();
            (name, descriptor.digest)
        });
        read.collect()
    }

    fn names(index: &Index) -> Vec<&str> {
        index.tags(None).collect()
    }

    #[test]
    fn a_tag_that_moves_leaves_the_manifest_behind_without_a_name() {
        let mut index = Index::default();
        index.put(&digest("old"), image(), &["t".to_owned(), "u".to_owned()]);
        index.put(&digest("new"), image(), &["t".to_owned()]);
        assert_eq!(index.tagged("t").unwrap().digest, digest("new"));
        assert_eq!(
            entries(&index),
            [
                (Some("t".to_owned()), digest("new")),
                (Some("u".to_owned()), digest("old")),
            ]
        );
        assert!(index.remove_tag("u"));
        assert!(!index.remove_tag("u"));
        assert_eq!(
            entries(&index),
            [(Some("t".to_owned()), digest("new")), (None, digest("old")),]
        );
        assert!(index.remove_manifest(&digest("new")));
        assert_eq!(index.tagged("t"), None);
        assert_eq!(names(&index), Vec::<&str>::new());
        assert!(index.found(&digest("old")).is_some());
    }

    #[test]
    fn a_listed_manifest_has_no_entry_until_its_index_goes() {
        let mut index = Index::default();
        index.put(&digest("child"), image(), &[]);
        index.put(&digest("list"), listing(&["child"]), &["t".to_owned()]);
        index.put(&digest("list"), listing(&["child"]), &[]);
        assert_eq!(entries(&index), [(Some("t".to_owned()), digest("list"))]);
        assert!(index.found(&digest("child")).is_some());
        index.remove_manifest(&digest("list"));
        assert_eq!(entries(&index), [(None, digest("child"))]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut index = Index::default();
        let referrer = Facts {
            subject: Some(digest("list")),
            ..image()
        };
        let known = HashMap::from([
            (digest("child"), image()),
            (digest("inner"), listing(&["child"])),
            (digest("list"), listing(&["inner", "absent"])),
            (digest("referrer"), referrer),
        ]);
        for name in ["child", "inner", "list", "referrer"] {
            index.put(&digest(name), known[&digest(name)].clone(), &[]);
        }
        index.put(
            &digest("list"),
            known[&digest("list")].clone(),
            &["b".to_owned(), "a".to_owned()],
        );
        let text = index.text();
        let again = Index::read(text.as_bytes(), |digest, _| known.get(digest).cloned()).unwrap();
        assert_eq!(again.text(), text);
        assert_eq!(names(&again), ["a", "b"]);
        assert_eq!(again.tags(Some("a")).collect::<Vec<_>>(), ["b"]);
        for name in ["child", "inner", "list", "referrer"] {
            assert!(again.found(&digest(name)).is_some(), "{name}");
        }
        assert_eq!(again.referrers(&digest("list")).len(), 1);
        assert_eq!(again.found(&digest("absent")), None);
    }

    #[test]
    fn what_others_wrote_survives() {
        let named = |name: &str, content: &str| {
            json!({
                "mediaType": media_type::OCI_MANIFEST, "size": 7,
                "digest": digest(content).to_string(), "x": 1,
                "annotations": {annotation::REF_NAME: name, "k": "v"}
            })
        };
        let text = json!({
            "schemaVersion": 2,
            "annotations": {"a": "b"},
            "manifests": [
                named("t", "one"), named("t", "two"), named("not/a/tag:x", "three"),
                {"mediaType": "x/y", "size": 1, "digest": digest("gone").to_string()},
                {"digest": "md5:00"},
            ],
        });
        let look = |digest: &Digest, _: &str| (*digest != self::digest("gone")).then(image);
        let index = Index::read(text.to_string().as_bytes(), look).unwrap();
        assert_eq!(index.tagged("t").unwrap().digest, digest("one"));
        assert!(index.found(&digest("three")).is_some());
        let written: Value = serde_json::from_str(&index.text()).unwrap();
        assert_eq!(written["annotations"], json!({"a": "b"}));
        let list = written["manifests"].as_array().unwrap();
        assert!(list.contains(&named("t", "one")));
        assert!(list.contains(&named("not/a/tag:x", "three")));
        assert!(list.contains(&json!({"digest": "md5:00"})));
        assert!(
            list.iter()
                .any(|e| e["digest"] == digest("gone").to_string())
        );
        assert!(
            list.iter()
                .any(|e| e["digest"] == digest("two").to_string() && e.get("annotations").is_none())
        );
        for bad in ["", "[]", "{}", r#"{"manifests":{}}"#] {
            assert!(Index::read(bad.as_bytes(), look).is_err(), "{bad}");
        }
    }
}
