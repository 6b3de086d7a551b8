//! Configuration files in the form that Python's `configparser` reads, without interpolation.

use std::collections::BTreeMap;

/// The value of every key, by section. Keys are lower case with dashes.
pub(super) type Sections = BTreeMap<String, BTreeMap<String, String>>;

/// Reads sections of `key = value` or `key: value`; indented lines continue a value.
///
/// A line that is none of these is passed over: whoever owns the file complains about it.
pub(super) fn parse(text: &str) -> Sections {
    let mut sections = Sections::new();
    let mut section: Option<String> = None;
    let mut key: Option<String> = None;
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        let values = |name: &Option<String>| name.clone().unwrap_or_default();
        if line.starts_with([' ', '\t']) {
            let known = key
                .as_ref()
                .and_then(|key| sections.get_mut(&values(&section))?.get_mut(key));
            if let Some(value) = known {
                value.push('\n');
                value.push_str(trimmed);
                continue;
            }
        }
        if let Some(name) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = Some(name.to_owned());
            key = None;
            continue;
        }
        let Some((name, value)) = trimmed.split_once(['=', ':']) else {
            continue;
        };
        let name = name.trim().to_ascii_lowercase().replace('_', "-");
        sections
            .entry(values(&section))
            .or_default()
            .insert(name.clone(), value.trim().to_owned());
        key = Some(name);
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_have_several_lines() {
        let sections = parse(
            "# comment\n[global]\nindex-url = https://a.example/x?y=z:1\nExtra_Index_URL:\n  \
             https://b.example\n  # no\n  https://c.example\n\nnonsense\n[install]\nno-index=1\n",
        );
        let global = &sections["global"];
        assert_eq!(global["index-url"], "https://a.example/x?y=z:1");
        assert_eq!(
            global["extra-index-url"],
            "\nhttps://b.example\nhttps://c.example"
        );
        assert_eq!(sections["install"]["no-index"], "1");
    }
}
