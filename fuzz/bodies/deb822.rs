//! Any text as the stanzas of an index: fields, versions, relations, files.

use ohoci_deps::deb822::{Comments, Stanzas};
use ohoci_deps::debian::index::Index;
use ohoci_deps::debian::relation;
use ohoci_deps::debian::version::Version;
use ohoci_deps::lock::is_relative;

pub(crate) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let text = text.as_ref();
    let mut accepted = false;
    for comments in [Comments::Refused, Comments::Allowed] {
        let mut stanzas = Stanzas::new(text, comments);
        accepted |= stanzas.clone().all(|stanza| stanza.is_ok());
        while let Some(Ok(stanza)) = stanzas.next() {
            for (name, value) in stanza.fields() {
                assert!(stanza.get(name).is_some(), "{name}");
                let _ = relation::parse(value);
            }
        }
    }
    let mut index = Index::new();
    let is_index = index.add(text, "suite", "amd64").is_ok();
    for package in index.packages() {
        let again = Version::parse(package.version.as_str());
        assert!(again.is_ok_and(|again| again == package.version));
        if let Ok(file) = package.locked_file() {
            assert!(is_relative(&file.path), "{}", file.path);
        }
        for field in package.depends {
            for alternatives in relation::parse(field).unwrap_or_default() {
                for relation in &alternatives.0 {
                    let _ = package.satisfies(relation);
                }
            }
        }
    }
    accepted && (is_index || !text.starts_with("Package"))
}
