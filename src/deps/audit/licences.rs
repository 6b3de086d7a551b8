//! Licences, from Debian's `copyright` files.

use std::collections::BTreeSet;

use serde::Serialize;

/// The licences that a package's files are under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Licence {
    /// Short names (`GPL-2+`), sorted.
    Named(BTreeSet<String>),
    /// The file is prose; one has to read it.
    Prose,
}

/// Longest short name that is taken for one.
const LONGEST: usize = 200;

/// Reads a `copyright` file, in the machine-readable format of Debian if it is in it
/// (`https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/`).
///
/// Expressions (`GPL-2+ and BSD-3-clause`) are kept as they stand.
#[must_use]
pub fn licences_in(copyright: &[u8]) -> Licence {
    let text = String::from_utf8_lossy(copyright);
    let first = text.lines().find(|line| !line.trim().is_empty());
    let formatted = first.is_some_and(|line| {
        let line = line.to_ascii_lowercase();
        line.starts_with("format:") || line.starts_with("format-specification:")
    });
    let names: BTreeSet<String> = text
        .lines()
        .filter_map(|line| {
            let (field, value) = line.split_once(':')?;
            let value = value.trim();
            let is_name = field.eq_ignore_ascii_case("license")
                && !value.is_empty()
                && value.len() <= LONGEST
                && !value.chars().any(char::is_control);
            is_name.then(|| value.to_owned())
        })
        .collect();
    match formatted && !names.is_empty() {
        true => Licence::Named(names),
        false => Licence::Prose,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_read_where_there_are_any() {
        let text = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\
                    \nFiles: *\nCopyright: x\nLicense: GPL-2+\n this: that\n\
                    \nFiles: y\nlicense: GPL-2+ and BSD-3-clause\n\nLicense:\n text\n";
        let names = ["GPL-2+", "GPL-2+ and BSD-3-clause"].map(str::to_owned);
        assert_eq!(
            licences_in(text.as_bytes()),
            Licence::Named(BTreeSet::from(names))
        );
        for prose in [
            "This is free software.\nLicense: see below\n",
            "",
            "\u{fffd}",
        ] {
            assert_eq!(licences_in(prose.as_bytes()), Licence::Prose);
        }
    }
}
