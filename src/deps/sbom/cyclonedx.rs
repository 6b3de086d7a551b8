//! CycloneDX 1.6, as JSON.

use serde_json::{Value, json};

use super::{components, date, identity};
use crate::deps::lock::Lock;
use crate::oci::Platform;

/// The document of these features for a platform.
///
/// Source: CycloneDX specification 1.6 (ECMA-424).
#[must_use]
pub fn cyclonedx<'a>(lock: &'a Lock, features: &[&'a str], platform: &Platform) -> Value {
    let components = components(lock, features, platform);
    let list: Vec<Value> = components
        .iter()
        .map(|component| {
            let (source, of) = component.source;
            json!({
                "type": "library",
                "bom-ref": component.url,
                "name": component.name,
                "version": component.version,
                "purl": component.url,
                "hashes": [{"alg": "SHA-256", "content": component.file.digest.hex()}],
                "properties": [
                    {"name": "ohoci:feature", "value": component.feature},
                    {"name": "ohoci:source", "value": format!("{source} {of}")},
                ],
            })
        })
        .collect();
    let dependencies: Vec<Value> = components
        .iter()
        .map(|component| {
            let needs: Vec<&str> = components
                .iter()
                .filter(|other| {
                    component.needs.contains(&other.name) && other.url.starts_with("pkg:deb/")
                })
                .map(|other| other.url.as_str())
                .collect();
            json!({"ref": component.url, "dependsOn": needs})
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
