//! SPDX 2.3, as JSON.

use serde_json::{Value, json};

use super::component::{algorithm, components, date, identity};
use crate::lock::Lock;
use ohoci_image::Platform;

/// The document of these features for a platform. Licences are `NOASSERTION`: the statements
/// themselves stand in the image below `share/licences`.
///
/// Source: SPDX specification 2.3.
#[must_use]
pub(crate) fn spdx<'a>(lock: &'a Lock, features: &[&'a str], platform: &Platform) -> Value {
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
        let features = match component.features.as_slice() {
            [one] => format!("feature {one}"),
            several => format!("features {}", several.join(", ")),
        };
        let mut package = json!({
            "SPDXID": id(&component.id),
            "name": component.name,
            "sourceInfo": format!("built from {}; {features}", component.origin),
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "checksums": [{
                "algorithm": algorithm(&component.file.digest, ""),
                "checksumValue": component.file.digest.hex(),
            }],
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": component.url,
            }],
        });
        if let (Some(version), Some(object)) = (component.version, package.as_object_mut()) {
            object.insert("versionInfo".to_owned(), version.into());
        }
        if let (Some(licence), Some(object)) = (component.licence, package.as_object_mut()) {
            // It need not be an expression of SPDX.
            let text = format!("its channel says: {licence}");
            object.insert("licenseComments".to_owned(), text.into());
        }
        packages.push(package);
        relationships.push(json!({
            "spdxElementId": root,
            "relationshipType": "CONTAINS",
            "relatedSpdxElement": id(&component.id),
        }));
        for other in components.iter().filter(|other| component.needs(other)) {
            relationships.push(json!({
                "spdxElementId": id(&component.id),
                "relationshipType": "DEPENDS_ON",
                "relatedSpdxElement": id(&other.id),
            }));
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
