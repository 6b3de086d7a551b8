//! The config of a composed image.

use serde_json::{Map, Value, json};

use super::{Base, ComposeError, Composition, in_position};
use crate::annotation;
use crate::config_patch::{ConfigPatch, PatchError};
use crate::diff::{self, Change};
use crate::image_config::{History, ImageConfig, NO_MOMENT};
use crate::label::{self, INTENT_VERSION, Intent, Source};
use crate::media_type::Family;
use crate::role::Role;
use crate::timestamp::Timestamp;

/// Written as `comment` of the history entries that ohoci adds.
const COMMENT: &str = "ohoci";

pub(super) struct Built {
    pub(super) object: Map<String, Value>,
    pub(super) changes: Vec<Change>,
}

pub(super) fn build(
    input: &Composition,
    base: &ImageConfig,
    family: Family,
    warnings: &mut Vec<String>,
) -> Result<Built, ComposeError> {
    let before = base.document().object();
    let mut object = before.clone();
    apply_patches(input, &mut object)?;
    let patched = diff::changes(before, &object);
    write_base(input, family, &mut object).map_err(ComposeError::Labels)?;
    if input.record_intent {
        label::set_intent(&mut object, &intent(input, base)).map_err(ComposeError::Labels)?;
    } else {
        // A record of how the base was made says nothing true about the new image.
        label::remove(&mut object, annotation::INTENT);
    }
    write_created(input, base, &mut object);
    extend_diff_ids(input, &mut object);
    extend_history(input, base, &patched, &mut object, warnings);
    Ok(Built {
        changes: diff::changes(before, &object),
        object,
    })
}

fn apply_patches(input: &Composition, object: &mut Map<String, Value>) -> Result<(), ComposeError> {
    for addition in &input.additions {
        if let Some(patch) = &addition.patch {
            let patch = ConfigPatch {
                keep_cmd: patch.keep_cmd || input.patch.keep_cmd,
                ..patch.clone()
            };
            patch.apply(object).map_err(|source| ComposeError::Patch {
                whose: addition.describe(),
                source,
            })?;
        }
    }
    input
        .patch
        .apply(object)
        .map_err(|source| ComposeError::Patch {
            whose: "the command line".to_owned(),
            source,
        })?;
    Ok(())
}

/// Docker manifests have no annotations, so their images name the base in labels. Elsewhere such
/// labels are only corrected where the base brought some.
fn write_base(
    input: &Composition,
    family: Family,
    object: &mut Map<String, Value>,
) -> Result<(), PatchError> {
    let Base::Image(base) = &input.base else {
        return Ok(());
    };
    let digest = base.named_digest().to_string();
    let values = [
        (annotation::BASE_NAME, base.name.as_deref()),
        (annotation::BASE_DIGEST, Some(digest.as_str())),
    ];
    for (key, value) in values {
        if input.patch.labels.contains_key(key) {
            continue;
        }
        match value {
            Some(value) if family == Family::Docker || label::get(object, key).is_some() => {
                label::set(object, key, value)?;
            }
            Some(_) => {}
            None => label::remove(object, key),
        }
    }
    Ok(())
}

fn intent(input: &Composition, base: &ImageConfig) -> Intent {
    let sources = |wanted: Role| {
        input
            .additions
            .iter()
            .filter(|addition| addition.role == wanted)
            .map(|addition| Source {
                name: addition.name.clone(),
                digest: addition.digest.clone(),
                path: addition.path.clone(),
            })
            .collect()
    };
    let base_run = match &input.base {
        Base::Image(_) => vec![(Role::Base, base.diff_ids().len())],
        Base::Scratch(_) => Vec::new(),
    };
    let added_runs = input
        .additions
        .iter()
        .map(|addition| (addition.role, addition.layers.len()))
        .collect();
    Intent {
        version: INTENT_VERSION,
        base: match &input.base {
            Base::Image(base) => Some(Source {
                name: base.name.clone(),
                digest: Some(base.named_digest().clone()),
                path: None,
            }),
            Base::Scratch(_) => None,
        },
        deps: sources(Role::Deps),
        local: sources(Role::Local),
        patch: input.patch.clone(),
        annotations: input.annotations.clone(),
        position: input.position,
        created: input.created.clone(),
        layers: in_position(input.position, base_run, added_runs),
    }
}

/// The newest of base and additions keeps the text it came as.
fn write_created(input: &Composition, base: &ImageConfig, object: &mut Map<String, Value>) {
    let dated = |text: &str| Some((Timestamp::parse(text)?, text.to_owned()));
    let mut newest = base.created().and_then(dated);
    for addition in &input.additions {
        let theirs = addition.created.as_deref().and_then(dated);
        if theirs.as_ref().map(|(at, _)| at) > newest.as_ref().map(|(at, _)| at) {
            newest = theirs;
        }
    }
    let created = input.created.clone().or(newest.map(|(_, text)| text));
    if let Some(created) = created {
        object.insert("created".to_owned(), created.into());
    }
}

fn extend_diff_ids(input: &Composition, object: &mut Map<String, Value>) {
    let added: Vec<Value> = input
        .additions
        .iter()
        .flat_map(|addition| &addition.layers)
        .map(|layer| layer.diff_id.to_string().into())
        .collect();
    if added.is_empty() {
        return;
    }
    let rootfs = object.entry("rootfs").or_insert(Value::Null);
    if rootfs.is_null() {
        *rootfs = json!({"type": "layers"});
    }
    if let Some(rootfs) = rootfs.as_object_mut() {
        let base = match rootfs.get_mut("diff_ids") {
            Some(Value::Array(list)) => std::mem::take(list),
            _ => Vec::new(),
        };
        rootfs.insert(
            "diff_ids".to_owned(),
            in_position(input.position, base, added).into(),
        );
    }
}

fn extend_history(
    input: &Composition,
    base: &ImageConfig,
    patched: &[Change],
    object: &mut Map<String, Value>,
    warnings: &mut Vec<String>,
) {
    match base.history() {
        History::Absent => return,
        History::Inconsistent => {
            warnings.push(
                "the base's history does not match its layers; it is kept as it is and the added \
                 layers have no entry in it"
                    .to_owned(),
            );
            return;
        }
        History::Consistent => {}
    }
    let created = object
        .get("created")
        .filter(|text| text.is_string())
        .cloned()
        // umoci reads no history entry without a date.
        .unwrap_or_else(|| NO_MOMENT.into());
    let entry = |created_by: String| {
        let mut entry = Map::new();
        entry.insert("created".to_owned(), created.clone());
        entry.insert("created_by".to_owned(), created_by.into());
        entry.insert("comment".to_owned(), COMMENT.into());
        entry
    };
    let mut added = Vec::new();
    for addition in &input.additions {
        for layer in &addition.layers {
            let created_by = layer
                .created_by
                .clone()
                .unwrap_or_else(|| format!("ohoci compose: {}", addition.describe()));
            added.push(Value::Object(entry(created_by)));
        }
    }
    let list = match object.get_mut("history") {
        Some(Value::Array(list)) => std::mem::take(list),
        _ => Vec::new(),
    };
    let mut list = in_position(input.position, list, added);
    if !patched.is_empty() {
        let paths: Vec<&str> = patched.iter().map(|change| change.path.as_str()).collect();
        let mut last = entry(format!("ohoci compose: patch {}", paths.join(", ")));
        last.insert("empty_layer".to_owned(), true.into());
        list.push(last.into());
    }
    object.insert("history".to_owned(), list.into());
}
