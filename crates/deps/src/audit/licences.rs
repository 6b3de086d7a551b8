//! Licences, by what packages say of themselves.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::python::Licences;

/// The licences that a package's files are under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Licence {
    /// Short names (`GPL-2+`), sorted.
    Named(BTreeSet<String>),
    /// The statement is prose; one has to read it.
    Prose,
    /// Nothing is said.
    Unstated,
}

/// Longest short name that is taken for one.
const LONGEST: usize = 200;

impl Licence {
    /// One name, if it is one.
    #[must_use]
    pub fn named(name: Option<&str>) -> Self {
        match name.map(str::trim).filter(|name| !name.is_empty()) {
            None => Self::Unstated,
            Some(name) if is_name(name) => Self::Named(BTreeSet::from([name.to_owned()])),
            Some(_) => Self::Prose,
        }
    }

    /// What a Python package says: the expression, else the classifiers, else the older free text.
    #[must_use]
    pub(crate) fn of_python(said: &Licences) -> Self {
        if said.expression.is_some() {
            return Self::named(said.expression.as_deref());
        }
        let names: BTreeSet<String> = said
            .classifiers
            .iter()
            .filter_map(|classifier| classifier.rsplit(" :: ").next())
            .filter(|name| is_name(name) && *name != "OSI Approved")
            .map(str::to_owned)
            .collect();
        match names.is_empty() {
            true => Self::named(said.text.as_deref()),
            false => Self::Named(names),
        }
    }

    /// Adds what another statement about the same package says.
    pub fn join(&mut self, other: Self) {
        match (&mut *self, other) {
            (_, Self::Unstated) => {}
            (Self::Named(names), Self::Named(others)) => names.extend(others),
            // What is in names can be listed, what is not has to be read all the same.
            (Self::Unstated, other) => *self = other,
            (_, Self::Prose) => *self = Self::Prose,
            (Self::Prose, Self::Named(_)) => {}
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// Reads a `copyright` file, in the machine-readable format of Debian if it is in it
/// (`https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/`).
///
/// Expressions (`GPL-2+ and BSD-3-clause`) are kept as they stand.
#[must_use]
pub(crate) fn licences_in(copyright: &[u8]) -> Licence {
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
            let is_named = field.eq_ignore_ascii_case("license") && is_name(value);
            is_named.then(|| value.to_owned())
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
    fn python_packages_say_it_in_three_ways() {
        let said = |expression: Option<&str>, classifiers: &[&str], text: Option<&str>| {
            Licence::of_python(&Licences {
                expression: expression.map(str::to_owned),
                classifiers: classifiers.iter().map(|text| (*text).to_owned()).collect(),
                text: text.map(str::to_owned),
                files: Vec::new(),
            })
        };
        let named = |name| Licence::named(Some(name));
        let classifier = "License :: OSI Approved :: BSD License";
        assert_eq!(
            said(Some("MIT OR ISC"), &[classifier], None),
            named("MIT OR ISC")
        );
        assert_eq!(said(None, &[classifier], Some("x")), named("BSD License"));
        assert_eq!(
            said(None, &["License :: OSI Approved"], Some("MIT")),
            named("MIT")
        );
        assert_eq!(
            said(None, &[], Some("Permission is\ngranted")),
            Licence::Prose
        );
        assert_eq!(said(None, &[], None), Licence::Unstated);
    }

    #[test]
    fn statements_add_up_and_prose_stays_to_be_read() {
        let joined = |mut one: Licence, other| {
            one.join(other);
            one
        };
        let named = |name| Licence::named(Some(name));
        let both = Licence::Named(["A", "B"].map(str::to_owned).into());
        assert_eq!(joined(named("A"), named("B")), both);
        assert_eq!(joined(named("A"), Licence::Prose), Licence::Prose);
        assert_eq!(joined(Licence::Prose, named("A")), Licence::Prose);
        assert_eq!(joined(Licence::Unstated, named("A")), named("A"));
        assert_eq!(joined(named("A"), Licence::Unstated), named("A"));
    }

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
