//! Bills of materials from a lock: what is in a deps image, for one platform.
//!
//! Pure and without clock, host or randomness: the same lock gives the same documents.

mod cyclonedx;
mod spdx;

pub use cyclonedx::cyclonedx;
pub use spdx::spdx;

use super::lock::{Lock, LockedFile};
use crate::oci::{Digest, Platform};

/// A package as the documents name it.
struct Component<'a> {
    name: &'a str,
    version: &'a str,
    source: (&'a str, &'a str),
    feature: &'a str,
    file: &'a LockedFile,
    /// Package URL (the `deb` type of the purl specification).
    url: String,
    needs: Vec<&'a str>,
}

fn components<'a>(lock: &'a Lock, features: &[&'a str], platform: &Platform) -> Vec<Component<'a>> {
    let name = platform.to_string();
    let debian = lock
        .debian
        .iter()
        .filter(|package| features.contains(&package.feature.as_str()))
        .filter_map(|package| {
            let file = package.file_for(&name)?;
            Some(Component {
                name: &package.name,
                version: &package.version,
                source: package.source_package(),
                feature: &package.feature,
                file,
                url: format!(
                    "pkg:deb/debian/{}@{}?arch={}",
                    encoded(&package.name),
                    encoded(&package.version),
                    platform.architecture
                ),
                needs: package.needs.iter().map(String::as_str).collect(),
            })
        });
    let python = features.iter().flat_map(|feature| {
        let packages = lock.python_files(feature, platform);
        packages.map(|(package, file)| Component {
            name: &package.name,
            version: &package.version,
            source: (&package.name, &package.version),
            feature: &package.feature,
            file,
            url: format!(
                "pkg:pypi/{}@{}",
                encoded(&package.name),
                encoded(&package.version)
            ),
            needs: Vec::new(),
        })
    });
    debian.chain(python).collect()
}

/// Percent-encoded as package URLs want it.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A name for the document that only these components have.
fn identity(components: &[Component<'_>]) -> Digest {
    let text: Vec<String> = components
        .iter()
        .map(|component| format!("{} {}", component.url, component.file.digest))
        .collect();
    Digest::of(text.join("\n").as_bytes())
}

/// When the newest of the archives was made: the documents' date.
fn date(lock: &Lock) -> String {
    let newest = lock
        .release
        .values()
        .map(|release| release.date.as_str())
        .max();
    newest.unwrap_or("1970-01-01T00:00:00Z").to_owned()
}
