//! Relationships between packages (deb-control(5), Debian Policy 7.1).

use std::fmt;

use super::version::{Version, VersionError};
use crate::recipe::name::is_package_name;

/// A package, and which of its versions will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package, real or virtual.
    pub name: &'a str,
    /// What its version must be.
    pub constraint: Option<(Operator, Version<'a>)>,
}

/// How versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// Relations of which one must hold, in the order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternatives<'a>(pub Vec<Relation<'a>>);

/// Why a field states no relationships.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} states no relationship to a package: {reason}")]
pub struct RelationError {
    text: String,
    reason: String,
}

impl<'a> Relation<'a> {
    /// Whether that version will do.
    #[must_use]
    pub(crate) fn accepts(&self, version: &Version<'_>) -> bool {
        match &self.constraint {
            None => true,
            Some((operator, wanted)) => match operator {
                Operator::Earlier => version < wanted,
                Operator::EarlierOrEqual => version <= wanted,
                Operator::Equal => version == wanted,
                Operator::LaterOrEqual => version >= wanted,
                Operator::Later => version > wanted,
            },
        }
    }

    fn parse(text: &'a str) -> Result<Self, RelationError> {
        let text = text.trim_ascii();
        let fail = |reason: &str| RelationError {
            text: text.chars().take(200).collect(),
            reason: reason.to_owned(),
        };
        let end = text
            .find(|c: char| c.is_ascii_whitespace() || matches!(c, '(' | '[' | '<'))
            .unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        // Which architecture's package will do makes no difference: there is one architecture.
        let name = name.split_once(':').map_or(name, |(name, _)| name);
        if !is_package_name(name) {
            return Err(fail("that is no name of a package"));
        }
        let rest = rest.trim_ascii();
        if rest.is_empty() {
            return Ok(Self {
                name,
                constraint: None,
            });
        }
        let inside = rest
            .strip_prefix('(')
            .and_then(|rest| rest.strip_suffix(')'))
            .ok_or_else(|| fail("expected a version in parentheses behind the name"))?
            .trim_ascii();
        let (operator, version) = Operator::split(inside)
            .ok_or_else(|| fail("expected one of <<, <=, =, >=, >> before the version"))?;
        let version = Version::parse(version.trim_ascii())
            .map_err(|error: VersionError| fail(&error.to_string()))?;
        Ok(Self {
            name,
            constraint: Some((operator, version)),
        })
    }
}

impl Operator {
    fn split(text: &str) -> Option<(Self, &str)> {
        // A single `<` or `>` is an old spelling of `<=` and `>=` (deb-control(5)).
        [
            ("<<", Self::Earlier),
            ("<=", Self::EarlierOrEqual),
            (">=", Self::LaterOrEqual),
            (">>", Self::Later),
            ("=", Self::Equal),
            ("<", Self::EarlierOrEqual),
            (">", Self::LaterOrEqual),
        ]
        .into_iter()
        .find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        })
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match &self.constraint {
            Some((operator, version)) => write!(f, " ({operator} {version})"),
            None => Ok(()),
        }
    }
}

impl<'a> Alternatives<'a> {
    /// The names, as a recipe's `choose` spells them.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|relation| relation.name).collect();
        names.join(" | ")
    }
}

impl fmt::Display for Alternatives<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, relation) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" | ")?;
            }
            relation.fmt(f)?;
        }
        Ok(())
    }
}

/// Reads a field such as `Depends`: alternatives, all of which must hold.
///
/// # Errors
/// When something in it is no relationship of a binary package.
pub fn parse(field: &str) -> Result<Vec<Alternatives<'_>>, RelationError> {
    field
        .split(',')
        .map(str::trim_ascii)
        // Some archives leave a comma at the end.
        .filter(|group| !group.is_empty())
        .map(|group| {
            let relations: Result<_, _> = group.split('|').map(Relation::parse).collect();
            relations.map(Alternatives)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_read_and_shown_alike() {
        let field =
            "libc6 (>= 2.38), debconf(>=0.5)|debconf-2.0,\n python3:any ( << 3.14~ ), a1 (> 2),";
        let relations = parse(field).unwrap();
        let shown: Vec<String> = relations.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "libc6 (>= 2.38)",
                "debconf (>= 0.5) | debconf-2.0",
                "python3 (<< 3.14~)",
                "a1 (>= 2)",
            ]
        );
        assert_eq!(relations[1].key(), "debconf | debconf-2.0");
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn constraints_accept_what_they_say() {
        for (relation, accepted, refused) in [
            ("ab (<< 2)", "2~", "2"),
            ("ab (<= 2)", "2", "2+b1"),
            ("ab (= 2)", "2-0", "2.0"),
            ("ab (>= 2)", "2", "2~"),
            ("ab (>> 2)", "2+b1", "2"),
        ] {
            let relations = parse(relation).unwrap();
            let relation = relations[0].0[0];
            assert!(
                relation.accepts(&Version::parse(accepted).unwrap()),
                "{relation}"
            );
            assert!(
                !relation.accepts(&Version::parse(refused).unwrap()),
                "{relation}"
            );
        }
    }

    #[test]
    fn what_is_no_relationship() {
        for bad in [
            "A",
            "ab |",
            "ab (2)",
            "ab (>= )",
            "ab (>= 2",
            "ab [amd64]",
            "ab <x>",
            "ab cd",
            "${x}",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "([a-z0-9(),|<>= :]|\\PC){0,60}") {
            let _ = parse(&text);
        }
    }
}
