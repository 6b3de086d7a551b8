//! SPDX 2.3, as JSON.

use serde_json::{Value, json};

use super::{Component, components, date, identity};
use crate::deps::lock::Lock;
use crate::oci::Platform;

/// The document of these features for a platform. Licences are `NOASSERTION`: the statements
/// themselves stand in the image below `share/licences`.
///
/// Source: SPDX specification 2.3.
#[must_use]
pub fn spdx<'a>(lock: &'a Lock, features: &[&'a str], platform: &Platform) -> Value {
    let components = components(lock, features, platform);
    let id = |name: &str| {
        let legal = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        };
        format!("SPDXRef-{}", name.chars().map(legal).collect::<String>())
    };
    let name = format!("{} for {platform}", lock.recipe);
    let root = "SPDXRef-image";
    let mut packages = vec![json!({
        "SPDXID": root,
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
    })];
    let mut relationships = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": root,
    })];
    for component in &components {
        let (source, of) = component.source;
        packages.push(json!({
            "SPDXID": id(&component.url),
            "name": component.name,
            "versionInfo": component.version,
            "sourceInfo": format!("built from {source} {of}; feature {}", component.feature),
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "checksums": [{"algorithm": "SHA256", "checksumValue": component.file.digest.hex()}],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": component.url,
            }],
        }));
        relationships.push(json!({
            "spdxElementId": root,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id(&component.url),
        }));
        for needed in &component.needs {
            let of_debian =
                |other: &&Component<'_>| other.name == *needed && other.url.starts_with("pkg:deb/");
            if let Some(other) = components.iter().find(of_debian) {
                relationships.push(json!({
                    "spdxElementId": id(&component.url),
                    "relationshipType": "DEPENDS_ON",
                    "relatedSpdxElement": id(&other.url),
                }));
            }
        }
    }
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": format!("urn:ohoci:sbom:{}", identity(&components).hex()),
        "creationInfo": {"created": date(lock), "creators": ["Tool: ohoci"]},
        "packages": packages,
        "relationships": relationships,
    })
}
