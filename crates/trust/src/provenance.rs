//! SLSA's provenance, version 1.1, of a composed image: made from the record that the image carries, so
//! that it can be composed again and compared.

use ohoci_image::label::{Intent, Source};
use ohoci_image::{Digest, Platform};
use serde_json::{Map, Value, json};

use crate::statement::{PROVENANCE, Statement, Subject};

/// What images are made by, and how: the type of the build that the statement describes. Its
/// parameters are one record for each image, as the label `ohoci.intent` has it.
pub(crate) const BUILD_TYPE: &str = "urn:ohoci:compose:1";

/// What composed an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// ohoci's version.
    pub version: String,
    /// The digest of its program, where it could be read.
    pub program: Option<Digest>,
}

/// An image of one platform, and the record that it carries.
#[derive(Clone, Debug)]
pub struct Image {
    /// What it runs on.
    pub platform: Platform,
    /// Its manifest.
    pub manifest: Digest,
    /// What it was made from.
    pub intent: Intent,
}

/// The statement about a composed image or index. It depends on nothing else: no clock, no name of a
/// machine.
///
/// # Errors
/// When a record cannot be written as JSON, which those that were read can.
pub fn statement(
    repository: Option<&str>,
    root: &Digest,
    images: &[Image],
    builder: &Builder,
) -> Result<Statement, serde_json::Error> {
    let mut recorded = Vec::new();
    let mut dependencies: Vec<Value> = Vec::new();
    for image in images {
        recorded.push(json!({
            "platform": image.platform.to_string(),
            "manifest": image.manifest.to_string(),
            "intent": serde_json::to_value(&image.intent)?,
        }));
        let intent = &image.intent;
        let sources = intent.base.iter().chain(&intent.deps).chain(&intent.local);
        for dependency in sources.filter_map(dependency) {
            if !dependencies.contains(&dependency) {
                dependencies.push(dependency);
            }
        }
    }
    let mut details = json!({
        "builder": {"id": "urn:ohoci:builder", "version": {"ohoci": builder.version}},
    });
    if let (Some(program), Some(builder)) = (
        &builder.program,
        details.get_mut("builder").and_then(Value::as_object_mut),
    ) {
        let program =
            json!([{"name": "ohoci", "digest": {program.algorithm().name(): program.hex()}}]);
        builder.insert("builderDependencies".to_owned(), program);
    }
    Ok(Statement {
        subjects: vec![Subject::image(repository.map(str::to_owned), root)],
        predicate_type: PROVENANCE.to_owned(),
        predicate: json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"images": recorded},
                "resolvedDependencies": dependencies,
            },
            "runDetails": details,
        }),
    })
}

/// A source whose content is known, as SLSA's `ResourceDescriptor`.
fn dependency(source: &Source) -> Option<Value> {
    let digest = source.digest.as_ref()?;
    let mut object = Map::new();
    if let Some(name) = &source.name {
        object.insert("name".to_owned(), name.as_str().into());
    }
    object.insert(
        "digest".to_owned(),
        json!({digest.algorithm().name(): digest.hex()}),
    );
    Some(Value::Object(object))
}

/// The records in a statement's predicate, each with its platform and manifest: what an image is
/// compared with.
///
/// # Errors
/// What is wrong with it.
pub fn images(predicate: &Value) -> Result<Vec<Image>, String> {
    let definition = predicate.get("buildDefinition");
    let kind = definition.and_then(|definition| definition.get("buildType"));
    if kind.and_then(Value::as_str) != Some(BUILD_TYPE) {
        return Err(format!(
            "it is of a build of type {}",
            kind.unwrap_or(&Value::Null)
        ));
    }
    let images = definition
        .and_then(|definition| {
            definition
                .get("externalParameters")?
                .get("images")?
                .as_array()
        })
        .ok_or("it has no images")?;
    images
        .iter()
        .map(|image| {
            let text = |key: &str| {
                let found = image.get(key).and_then(Value::as_str);
                found.ok_or_else(|| format!("an image in it has no {key:?}"))
            };
            let intent = image.get("intent").ok_or("an image in it has no record")?;
            Ok(Image {
                platform: text("platform")?
                    .parse()
                    .map_err(|_| "an image in it has no platform that can be read")?,
                manifest: text("manifest")?
                    .parse()
                    .map_err(|error| format!("an image in it: {error}"))?,
                intent: serde_json::from_value(intent.clone())
                    .map_err(|error| format!("a record in it cannot be read: {error}"))?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_image::Role;

    #[test]
    fn what_is_said_of_an_image_is_read_again_and_has_no_clock() {
        let source = Source {
            name: Some("registry.example/base:1".to_owned()),
            digest: Some(Digest::of(b"base")),
            path: None,
        };
        let intent = Intent {
            version: 1,
            base: Some(source.clone()),
            deps: vec![source],
            local: Vec::new(),
            patch: ohoci_image::config_patch::ConfigPatch::default(),
            annotations: std::collections::BTreeMap::new(),
            position: ohoci_image::label::Position::Top,
            created: None,
            layers: vec![(Role::Base, 1)],
        };
        let image = Image {
            platform: Platform::new("linux", "amd64"),
            manifest: Digest::of(b"manifest"),
            intent: intent.clone(),
        };
        let builder = Builder {
            version: "1".to_owned(),
            program: Some(Digest::of(b"program")),
        };
        let root = Digest::of(b"root");
        let make = || {
            statement(
                Some("registry.example/a"),
                &root,
                std::slice::from_ref(&image),
                &builder,
            )
        };
        let made = make().unwrap();
        assert_eq!(made.to_bytes(), make().unwrap().to_bytes());
        let read = images(&made.predicate).unwrap();
        assert_eq!(read[0].intent, intent);
        assert_eq!(read[0].manifest, image.manifest);
        let dependencies = &made.predicate["buildDefinition"]["resolvedDependencies"];
        assert_eq!(dependencies.as_array().unwrap().len(), 1);
        assert!(images(&json!({})).is_err());
    }
}
