//! Poetry's constraints on versions as those of PEP 440.
//!
//! Source: poetry-core 2.5, `constraints/version/parser.py`.

use std::fmt::Write as _;

use pep440_rs::{Version, VersionSpecifiers};

/// The specifiers (PEP 440) that a constraint stands for; empty for any version.
pub(super) fn specifiers(text: &str) -> Result<String, String> {
    let fail = || format!("pyproject.toml: {text:?} is no constraint that PEP 440 has words for");
    let mut words: Vec<String> = Vec::new();
    for part in split(text).ok_or_else(fail)? {
        let word = one(&part).ok_or_else(fail)?;
        if !word.is_empty() {
            word.parse::<VersionSpecifiers>().map_err(|_| fail())?;
            words.push(word);
        }
    }
    Ok(words.join(","))
}

/// The parts that all have to hold: they are separated by commas or by spaces, and an operator may
/// stand apart from its version. Alternatives (`||`) have no words.
fn split(text: &str) -> Option<Vec<String>> {
    if text.contains('|') {
        return None;
    }
    let mut parts: Vec<String> = Vec::new();
    let mut open = false;
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        match (open, parts.last_mut()) {
            (true, Some(last)) => last.push_str(word),
            _ => parts.push(word.to_owned()),
        }
        open = word.ends_with(['^', '~', '=', '<', '>', '!']);
    }
    Some(parts)
}

fn one(part: &str) -> Option<String> {
    if part.split('.').all(|name| matches!(name, "*" | "x" | "X")) {
        return Some(String::new());
    }
    if let Some(version) = part.strip_prefix('^') {
        return between(version, |release| {
            let first = release.iter().position(|number| *number > 0);
            first.unwrap_or(release.len().saturating_sub(1))
        });
    }
    if let Some(version) = part.strip_prefix('~').filter(|rest| !rest.starts_with('=')) {
        return between(version, |release| usize::from(release.len() > 1));
    }
    if part.starts_with(['=', '<', '>', '!', '~']) {
        let has_two = ["==", "<=", ">=", "!=", "~="]
            .iter()
            .any(|operator| part.starts_with(operator));
        // `=1` is what Poetry takes for `==1`.
        return Some(match part.strip_prefix('=') {
            Some(version) if !has_two => format!("=={version}"),
            _ => part.to_owned(),
        });
    }
    Some(format!("=={}", part.trim_start_matches(['v', 'V'])))
}

/// From a version to below the one with the number at `breaking` raised.
fn between(version: &str, breaking: impl Fn(&[u64]) -> usize) -> Option<String> {
    let low: Version = version.trim().parse().ok()?;
    let release = low.release();
    let at = breaking(release);
    let mut high = String::new();
    if low.epoch() > 0 {
        let _ = write!(high, "{}!", low.epoch());
    }
    for (place, number) in release.iter().enumerate() {
        let number = match place.cmp(&at) {
            std::cmp::Ordering::Less => *number,
            std::cmp::Ordering::Equal => number.checked_add(1)?,
            std::cmp::Ordering::Greater => 0,
        };
        let _ = write!(high, "{}{number}", if place == 0 { "" } else { "." });
    }
    Some(format!(">={low},<{high}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_have_the_meaning_that_poetry_gives_them() {
        for (text, expected) in [
            ("*", ""),
            ("1.2.3", "==1.2.3"),
            ("v1.2", "==1.2"),
            ("=1.2", "==1.2"),
            ("1.2.*", "==1.2.*"),
            ("^1.2.3", ">=1.2.3,<2.0.0"),
            ("^1.2", ">=1.2,<2.0"),
            ("^1", ">=1,<2"),
            ("^0.2.3", ">=0.2.3,<0.3.0"),
            ("^0.0.3", ">=0.0.3,<0.0.4"),
            ("^0.0", ">=0.0,<0.1"),
            ("^0", ">=0,<1"),
            ("^1.2b1", ">=1.2b1,<2.0"),
            ("~1.2.3", ">=1.2.3,<1.3.0"),
            ("~1.2", ">=1.2,<1.3"),
            ("~1", ">=1,<2"),
            ("~=1.4.5", "~=1.4.5"),
            (">=1.74.3, <1.78.0, !=1.67.*", ">=1.74.3,<1.78.0,!=1.67.*"),
            (">= 1.0 <2", ">=1.0,<2"),
            ("^3.12,<3.14", ">=3.12,<4.0,<3.14"),
        ] {
            assert_eq!(specifiers(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_words_or_is_no_version_is_refused() {
        for text in [
            "^1 || ^2",
            "latest",
            "^",
            "^x",
            ">=",
            "1; os",
            "^18446744073709551615",
        ] {
            assert!(specifiers(text).is_err(), "{text}");
        }
    }
}
