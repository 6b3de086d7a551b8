//! CycloneDX 1.6, as JSON.

use serde_json::{Value, json};

use super::component::{algorithm, components, date, identity};
use crate::lock::Lock;
use ohoci_image::Platform;

/// The document of these features for a platform.
///
/// Source: CycloneDX specification 1.6 (ECMA-424).
#[must_use]
pub(crate) fn cyclonedx<'a>(lock: &'a Lock, features: &[&'a str], platform: &Platform) -> Value {
    let components = components(lock, features, platform);
    let list: Vec<Value> = components
        .iter()
        .map(|component| {
            let mut properties = vec![json!({
                "name": "ohoci:source",
                "value": component.origin,
            })];
            let features = component.features.iter();
            properties.splice(
                0..0,
                features.map(|feature| json!({"name": "ohoci:feature", "value": feature})),
            );
            let mut object = json!({
                "type": "library",
                "bom-ref": component.id,
                "name": component.name,
                "purl": component.url,
                "hashes": [{
                    "alg": algorithm(&component.file.digest, "-"),
                    "content": component.file.digest.hex(),
                }],
                "properties": properties,
            });
            if let (Some(version), Some(object)) = (component.version, object.as_object_mut()) {
                object.insert("version".to_owned(), version.into());
            }
            if let (Some(licence), Some(object)) = (component.licence, object.as_object_mut()) {
                let licences = json!([{"license": {"name": licence}}]);
                object.insert("licenses".to_owned(), licences);
            }
            object
        })
        .collect();
    let dependencies: Vec<Value> = components
        .iter()
        .map(|component| {
            let needs: Vec<&str> = components
                .iter()
                .filter(|other| component.needs(other))
                .map(|other| other.id.as_str())
                .collect();
            json!({"ref": component.id, "dependsOn": needs})
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(identity(&components).hex()),
        "version": 1,
        "metadata": {
            "timestamp": date(lock),
            "component": {"type": "container", "name": format!("{} for {platform}", lock.recipe)},
        },
        "components": list,
        "dependencies": dependencies,
    })
}

/// A UUID (RFC 9562, version 8: made by whoever makes it) of a digest's first digits.
fn serial(hex: &str) -> String {
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 15),
        part(15, 18),
        part(18, 30)
    )
}
