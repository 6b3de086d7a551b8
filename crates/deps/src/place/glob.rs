//! Patterns for paths, as recipes write them: `usr/share/doc/**`.

use std::fmt;
use std::str::FromStr;

use ohoci_layer::LayerPath;

/// A pattern for whole paths.
///
/// `?` stands for one byte and `*` for any number of them, neither for a slash; `**` between
/// slashes stands for any number of names, so that `a/**` matches `a` and everything below it.
/// Everything else stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Any,
    Pattern(Vec<u8>),
}

/// Why a string is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern {text:?}: {reason}")]
pub struct GlobError {
    text: String,
    reason: &'static str,
}

impl Glob {
    /// Whether the pattern stands for this path.
    #[must_use]
    pub fn matches(&self, path: &LayerPath) -> bool {
        let names: Vec<&[u8]> = path.names().collect();
        matches(&self.names, &names, |name, actual| match name {
            Name::Any => None,
            Name::Pattern(pattern) => Some(matches(pattern, actual, |wanted, byte| {
                (*wanted != b'*').then_some(*wanted == b'?' || wanted == byte)
            })),
        })
    }
}

/// Whether a row of patterns stands for a row of items, where those that `one` says `None` to
/// stand for any number of items.
///
/// Only the last such pattern is ever gone back to, which is enough: whatever an earlier one
/// could take instead, the later one can take too. So no pattern needs more than a product of
/// both lengths.
fn matches<P, T>(patterns: &[P], items: &[T], one: impl Fn(&P, &T) -> Option<bool>) -> bool
where
    P: Star,
{
    let (mut pattern, mut item) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (patterns.get(pattern), items.get(item)) {
            (None, None) => return true,
            (Some(wanted), _) if wanted.is_star() => {
                retry = Some((pattern, item));
                pattern += 1;
                continue;
            }
            (Some(wanted), Some(actual)) if one(wanted, actual) == Some(true) => {
                pattern += 1;
                item += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((star, from)) if from < items.len() => {
                retry = Some((star, from + 1));
                pattern = star + 1;
                item = from + 1;
            }
            _ => return false,
        }
    }
}

trait Star {
    fn is_star(&self) -> bool;
}

impl Star for Name {
    fn is_star(&self) -> bool {
        *self == Self::Any
    }
}

impl Star for u8 {
    fn is_star(&self) -> bool {
        *self == b'*'
    }
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        let fail = |reason| GlobError {
            text: text.to_owned(),
            reason,
        };
        let inside = text.strip_prefix('/').unwrap_or(text);
        let names = inside
            .split('/')
            .map(|name| match name {
                "" | "." | ".." => Err(fail("it has an empty name, `.` or `..`")),
                "**" => Ok(Name::Any),
                name if name.contains("**") => Err(fail("`**` has to stand between slashes")),
                name => Ok(Name::Pattern(name.as_bytes().to_vec())),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: text.to_owned(),
            names,
        })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        let glob: Glob = glob.parse().unwrap();
        glob.matches(&LayerPath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn stars_stay_within_a_name_and_double_stars_do_not() {
        for (glob, path, expected) in [
            ("usr/share/doc/**", "usr/share/doc/a/b", true),
            ("usr/share/doc/**", "usr/share/doc", true),
            ("usr/share/doc/**", "usr/share/docs", false),
            ("/usr/bin/git*", "usr/bin/git-shell", true),
            ("usr/bin/git*", "usr/bin/git/x", false),
            ("**/*.a", "usr/lib/x/libc.a", true),
            ("**/*.a", "libc.a", true),
            ("a/**/z", "a/z", true),
            ("a/**/b/**/z", "a/b/c/b/d/z", true),
            ("a/**/b/**/z", "a/c/d/z", false),
            ("usr/bin/[", "usr/bin/[", true),
            ("a?c*e", "abcde", true),
            ("a?c", "a/c", false),
            ("*a*b*c", "xaxbxbc", true),
            ("*a*b*c", "xaxbxbcd", false),
        ] {
            assert_eq!(matches(glob, path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn patterns_that_cannot_match_anything_are_refused() {
        for bad in ["", "a//b", "a/../b", "a/b**", "a/"] {
            assert!(bad.parse::<Glob>().is_err(), "{bad}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let glob = format!("{}b", "*a".repeat(50));
        assert!(!matches(&glob, &"a".repeat(250)));
        let glob = format!("{}b", "**/a/".repeat(50));
        assert!(!matches(&glob, &"a/".repeat(1000)));
    }
}
