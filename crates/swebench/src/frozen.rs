//! The environments that upstream froze: one `environment.yml` for each instance of Verified.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Sections of a heading, `== REPOSITORY NUMBER…`, and a text.
const TEXTS: &str = include_str!("environments.txt");

/// What a heading begins with.
const HEADING: &str = "\n== ";

/// The frozen `environment.yml` of an instance; `None` for those outside of Verified.
#[must_use]
pub fn environment_of(instance_id: &str) -> Option<&'static str> {
    static BY_INSTANCE: OnceLock<HashMap<String, &'static str>> = OnceLock::new();
    BY_INSTANCE.get_or_init(read).get(instance_id).copied()
}

fn read() -> HashMap<String, &'static str> {
    let mut by_instance = HashMap::new();
    let mut rest = TEXTS.split_once(HEADING).map(|(_, rest)| rest);
    while let Some(section) = rest {
        // The line end in front of a heading belongs to the text above it.
        let end = section.find(HEADING);
        let text = end.map_or(section, |at| section.get(..=at).unwrap_or(section));
        rest = end.and_then(|at| section.get(at + HEADING.len()..));
        let Some((heading, text)) = text.split_once('\n') else {
            continue;
        };
        let mut words = heading.split(' ');
        let repository = words.next().unwrap_or_default();
        for number in words {
            by_instance.insert(format!("{repository}-{number}"), text);
        }
    }
    by_instance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instance_of_verified_has_one() {
        let all = read();
        assert_eq!(all.len(), 500);
        let distinct: std::collections::HashSet<_> = all.values().collect();
        assert_eq!(distinct.len(), 63);
        assert!(
            all.values()
                .all(|text| text.starts_with("name: testbed\n") && text.ends_with("testbed\n"))
        );
        assert_eq!(
            environment_of("pallets__flask-5014"),
            Some(include_str!(
                "../../../fixtures/swebench/pallets__flask-5014/environment.yml"
            ))
        );
        assert_eq!(environment_of("pallets__flask-1"), None);
    }
}
