//! Patterns of what is left out of a directory, in the grammar of `.dockerignore`.
//!
//! Source: "`.dockerignore` file" in Docker's documentation of the build context, and Go's
//! `path.Match`, which it refers to; examples of moby's `patternmatcher` and `ignorefile`.

use regex::Regex;

use super::path::LayerPath;

/// What is left out. A path is what the last pattern says that fits it or a directory above it.
#[derive(Clone, Debug, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    regex: Regex,
    /// It began with `!`: what fits is put back in.
    is_exception: bool,
}

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern: {reason}")]
pub struct ExcludeError {
    pattern: String,
    reason: String,
}

impl Excludes {
    /// Nothing is left out.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds the patterns of a file, one a line; empty lines and those that begin with `#` say
    /// nothing. A byte order mark in front is passed over.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_lines(&mut self, text: &str) -> Result<(), ExcludeError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .try_for_each(|line| self.add(line))
    }

    /// Adds a pattern: names divided by slashes, in which `*` stands for any number of characters,
    /// `?` for one, `[a-z]` and `[^a-z]` for one of a set, `\` in front of a character for that
    /// character, and `**` for any number of names. `!` in front puts back in what fits.
    ///
    /// # Errors
    /// A set without an end, nothing behind `!` or `\`, a way up with `..`.
    pub fn add(&mut self, pattern: &str) -> Result<(), ExcludeError> {
        let text = pattern.trim();
        let (text, is_exception) = match text.strip_prefix('!') {
            Some(rest) => (rest.trim(), true),
            None => (text, false),
        };
        let fail = |reason: String| ExcludeError {
            pattern: pattern.to_owned(),
            reason,
        };
        if text.is_empty() {
            return match is_exception {
                true => Err(fail("there is nothing behind `!`".to_owned())),
                false => Ok(()),
            };
        }
        let mut names: Vec<&str> = Vec::new();
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    if names.pop().is_none() {
                        return Err(fail("`..` leads out of the directory".to_owned()));
                    }
                }
                name => names.push(name),
            }
        }
        // The directory itself is what is packed: it stays.
        if names.is_empty() {
            return Ok(());
        }
        let regex = expression(&names.join("/")).map_err(|reason| fail(reason.to_owned()))?;
        // Patterns are as long as the person wrote them: the regex's own limit holds.
        let regex = Regex::new(&regex).map_err(|error| fail(error.to_string()))?;
        self.patterns.push(Pattern {
            regex,
            is_exception,
        });
        Ok(())
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether something below a directory that is left out may be put back in.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_exception)
    }

    /// Whether a path below the directory is left out. Names that are not UTF-8 are compared with
    /// replacement characters in them.
    #[must_use]
    pub fn excludes(&self, path: &LayerPath) -> bool {
        let own = std::iter::once(path.as_bytes());
        let texts: Vec<_> = own
            .chain(path.ancestors())
            .map(String::from_utf8_lossy)
            .collect();
        let mut is_excluded = false;
        for pattern in &self.patterns {
            // Only one that says something else than those before it needs to be looked at.
            if is_excluded == pattern.is_exception
                && texts.iter().any(|text| pattern.regex.is_match(text))
            {
                is_excluded = !pattern.is_exception;
            }
        }
        is_excluded
    }
}

/// The regular expression of a pattern.
fn expression(pattern: &str) -> Result<String, &'static str> {
    let mut text = String::from(r"(?s)\A");
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => {
                while rest.next_if_eq(&'*').is_some() {}
                // `**/` is also nothing at all.
                let _ = rest.next_if_eq(&'/');
                text.push_str(if rest.peek().is_some() {
                    "(?:.*/)?"
                } else {
                    ".*"
                });
            }
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '[' => set(&mut rest, &mut text)?,
            '\\' => {
                let literal = rest.next().ok_or("there is nothing behind `\\`")?;
                push_literal(&mut text, literal);
            }
            literal => push_literal(&mut text, literal),
        }
    }
    text.push_str(r"\z");
    Ok(text)
}

/// A set of characters, behind its `[`.
fn set(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    text: &mut String,
) -> Result<(), &'static str> {
    const OPEN: &str = "the set that `[` begins has no `]`";
    text.push('[');
    let is_negated = rest.next_if_eq(&'^').is_some();
    if is_negated {
        text.push('^');
    }
    let one = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next() {
        Some('\\') => rest.next().ok_or(OPEN),
        other => other.ok_or(OPEN),
    };
    let mut is_empty = true;
    loop {
        if !is_empty && rest.next_if_eq(&']').is_some() {
            // No set holds the divider of names.
            text.push_str(if is_negated { "/]" } else { "]" });
            return Ok(());
        }
        let low = one(rest)?;
        let high = match rest.next_if_eq(&'-') {
            Some(_) => one(rest)?,
            None => low,
        };
        if low > high {
            return Err("a range ends before it begins");
        }
        push_literal(text, low);
        text.push('-');
        push_literal(text, high);
        is_empty = false;
    }
}

fn push_literal(text: &mut String, literal: char) {
    text.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(patterns: &[&str], path: &str) -> bool {
        let mut excludes = Excludes::none();
        excludes.add_lines(&patterns.join("\n")).unwrap();
        excludes.excludes(&LayerPath::parse(path.as_bytes()).unwrap())
    }

    #[test]
    fn patterns_of_docker_s_documentation() {
        for (pattern, fits, others) in [
            (
                "*/temp*",
                &["a/temporary.txt", "a/temp"][..],
                &["temp", "a/b/temp"][..],
            ),
            ("*/*/temp*", &["a/b/temporary.txt"], &["a/temp"]),
            (
                "temp?",
                &["tempa", "tempb", "tempa/below"],
                &["temp", "tempab", "a/tempa"],
            ),
            ("**/*.go", &["x.go", "a/x.go", "a/b/x.go"], &["x.gone"]),
            ("*.md", &["README.md"], &["docs/README.md"]),
            (
                "/foo/bar/",
                &["foo/bar", "foo/bar/below"],
                &["bar", "a/foo/bar"],
            ),
            ("./foo/../bar", &["bar"], &["foo"]),
            (
                "node_modules",
                &["node_modules", "node_modules/a/b"],
                &["a/node_modules"],
            ),
            (
                "**/node_modules",
                &["node_modules/a", "a/b/node_modules/c"],
                &["node_modules2"],
            ),
            ("docs/**", &["docs/a", "docs/a/b"], &["doc"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb"]),
            ("[a-c]x", &["ax", "cx"], &["dx", "[a-c]x"]),
            ("[^a]x", &["bx"], &["ax", "/x"]),
            (r"\*x", &["*x"], &["ax"]),
            ("a.b+c$", &["a.b+c$"], &["aab+c$", "a.bbc$"]),
            ("  spaced  ", &["spaced"], &[]),
            ("ä?", &["äö"], &["ä"]),
        ] {
            for path in fits {
                assert!(excluded(&[pattern], path), "{pattern} {path}");
            }
            for path in others.iter().filter(|path| **path != "/x") {
                assert!(!excluded(&[pattern], path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let list = [
            "# all but one",
            "*.md",
            "!README*.md",
            "",
            "README-secret.md",
        ];
        assert!(excluded(&list, "CHANGES.md"));
        assert!(!excluded(&list, "README.md"));
        assert!(excluded(&list, "README-secret.md"));
        let list = ["*", "!src"];
        assert!(excluded(&list, "target/x") && !excluded(&list, "src/a/b"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in ["[a", "[]", "a\\", "!", "../x", "[z-a]", "[a-"] {
            assert!(Excludes::none().add(bad).is_err(), "{bad}");
        }
        // The directory itself cannot be left out.
        let mut excludes = Excludes::none();
        excludes.add("/").unwrap();
        assert!(excludes.is_empty());
    }
}
