//! Environment lists (`config.Env`) and the expansion of `${VAR}` over them.

use std::borrow::Cow;

/// The `PATH` that runtimes give a container whose image sets none (moby
/// `system.DefaultPathEnvUnix`, containerd `oci.WithDefaultPathEnv`).
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longest value that an expansion may give, in bytes: Linux refuses to start a program with a
/// longer string in its environment (`MAX_ARG_STRLEN`, execve(2)).
pub(crate) const MAX_VALUE: usize = 128 << 10;

/// How deep `${A:-${B:-…}}` may nest.
const MAX_DEPTH: usize = 16;

/// How an operating system compares the names of environment variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCase {
    /// `Path` and `PATH` are two variables.
    Sensitive,
    /// `Path` and `PATH` are one variable: Windows.
    Insensitive,
}

impl NameCase {
    /// The rule of an operating system, named as in an image config.
    #[must_use]
    pub(crate) fn of_os(os: &str) -> Self {
        if os.eq_ignore_ascii_case("windows") {
            Self::Insensitive
        } else {
            Self::Sensitive
        }
    }

    fn same(self, left: &str, right: &str) -> bool {
        match self {
            Self::Sensitive => left == right,
            Self::Insensitive => left.eq_ignore_ascii_case(right),
        }
    }
}

/// The name in an entry `NAME=value`; foreign configs also hold entries that are only a name.
#[must_use]
pub fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// The value that a program sees: of several entries with one name the last wins, and an entry
/// without `=` sets nothing.
#[must_use]
pub fn get<'a>(list: &'a [String], name: &str, case: NameCase) -> Option<&'a str> {
    list.iter()
        .rev()
        .filter_map(|entry| entry.split_once('='))
        .find(|(key, _)| case.same(key, name))
        .map(|(_, value)| value)
}

/// Sets a variable where its first entry stands, or at the end; further entries of the name go.
pub fn set(list: &mut Vec<String>, name: &str, value: &str, case: NameCase) {
    let entry = format!("{name}={value}");
    let Some(at) = list
        .iter()
        .position(|entry| case.same(name_of(entry), name))
    else {
        list.push(entry);
        return;
    };
    let mut index = 0;
    list.retain(|entry| {
        let keep = index <= at || !case.same(name_of(entry), name);
        index += 1;
        keep
    });
    if let Some(slot) = list.get_mut(at) {
        *slot = entry;
    }
}

/// Removes every entry of a name.
pub fn unset(list: &mut Vec<String>, name: &str, case: NameCase) {
    list.retain(|entry| !case.same(name_of(entry), name));
}

/// What `${NAME}` means over an image's environment: its value or, for a `PATH` that the image
/// does not set, [`DEFAULT_PATH`]. Windows has no such default.
#[must_use]
pub fn lookup<'a>(list: &'a [String], name: &str, case: NameCase) -> Option<Cow<'a, str>> {
    match get(list, name, case) {
        Some(value) => Some(Cow::Borrowed(value)),
        None if name == "PATH" && case == NameCase::Sensitive => Some(Cow::Borrowed(DEFAULT_PATH)),
        None => None,
    }
}

/// Whether a patch may use this name: not empty, neither `=` nor NUL in it.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// The first variable that a value names as shells do, `$NAME`. It is not expanded: see [`expand`].
#[must_use]
pub fn unbraced(value: &str) -> Option<&str> {
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        rest = rest.get(at + 1..)?;
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let name = rest.get(..length)?;
        if !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(name);
        }
    }
    None
}

/// Why a value cannot be expanded. Positions count bytes from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// `${` without `}`.
    #[error("the `${{` at position {0} is never closed; write `$${{` for a literal `${{`")]
    Unterminated(usize),
    /// What stands behind `${` is no name.
    #[error("no variable name behind the `${{` at position {0}; write `$${{` for a literal `${{`")]
    Name(usize),
    /// An operator other than `:-` and `:+`.
    #[error("expected `}}`, `:-` or `:+` at position {0}")]
    Operator(usize),
    /// Nested too deeply.
    #[error("`${{` at position {0} is nested more than {MAX_DEPTH} deep")]
    Depth(usize),
    /// The result is too long for any program to be started with.
    #[error("the expanded value is longer than {MAX_VALUE} bytes, which Linux refuses")]
    TooLong,
}

/// Expands `${VAR}`, `${VAR:-word}` (word where VAR is unset or empty) and `${VAR:+word}` (word
/// where it is neither). Words are expanded too. `$${` gives a literal `${`; every other `$` stays.
///
/// An unset variable without a word gives nothing, as in a Dockerfile's `ENV`.
///
/// # Errors
/// See [`ExpandError`].
pub fn expand<'a>(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<Cow<'a, str>>,
) -> Result<String, ExpandError> {
    let mut expansion = Expansion {
        text,
        at: 0,
        lookup,
    };
    expansion.word(None, 0)
}

struct Expansion<'t, 'a> {
    text: &'t str,
    at: usize,
    lookup: &'t dyn Fn(&str) -> Option<Cow<'a, str>>,
}

impl<'t> Expansion<'t, '_> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Reads to the end or, inside the `${` that `opened` gives the position of, to its `}`.
    fn word(&mut self, opened: Option<usize>, depth: usize) -> Result<String, ExpandError> {
        let mut out = String::new();
        loop {
            let rest = self.rest();
            let stop = rest
                .find(|c| c == '$' || (c == '}' && opened.is_some()))
                .unwrap_or(rest.len());
            push(&mut out, rest.get(..stop).unwrap_or_default())?;
            self.at += stop;
            let rest = self.rest();
            if rest.is_empty() {
                return match opened {
                    Some(at) => Err(ExpandError::Unterminated(at)),
                    None => Ok(out),
                };
            } else if rest.starts_with('}') {
                self.at += 1;
                return Ok(out);
            } else if rest.starts_with("$${") {
                push(&mut out, "${")?;
                self.at += 3;
            } else if rest.starts_with("${") {
                let value = self.variable(depth)?;
                push(&mut out, &value)?;
            } else {
                push(&mut out, "$")?;
                self.at += 1;
            }
        }
    }

    fn variable(&mut self, depth: usize) -> Result<String, ExpandError> {
        let opened = self.at;
        if depth >= MAX_DEPTH {
            return Err(ExpandError::Depth(opened));
        }
        self.at += 2;
        let rest = self.rest();
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        let after = rest.get(length..).unwrap_or_default();
        if after.is_empty() {
            return Err(ExpandError::Unterminated(opened));
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(ExpandError::Name(opened));
        }
        self.at += length;
        let value = (self.lookup)(name);
        if after.starts_with('}') {
            self.at += 1;
            return Ok(value.map(Cow::into_owned).unwrap_or_default());
        }
        let when_set = match after.get(..2) {
            Some(":-") => false,
            Some(":+") => true,
            _ => return Err(ExpandError::Operator(self.at)),
        };
        self.at += 2;
        let word = self.word(Some(opened), depth + 1)?;
        let value = value.filter(|value| !value.is_empty());
        Ok(match (value, when_set) {
            (Some(_), true) | (None, false) => word,
            (Some(value), false) => value.into_owned(),
            (None, true) => String::new(),
        })
    }
}

fn push(out: &mut String, piece: &str) -> Result<(), ExpandError> {
    if out.len().saturating_add(piece.len()) > MAX_VALUE {
        return Err(ExpandError::TooLong);
    }
    out.push_str(piece);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(entries: &[&str]) -> Vec<String> {
        entries.iter().map(|entry| (*entry).to_owned()).collect()
    }

    fn over(env: &[&str], text: &str) -> Result<String, ExpandError> {
        let env = list(env);
        expand(text, &|name| lookup(&env, name, NameCase::Sensitive))
    }

    #[test]
    fn last_entry_wins_and_a_bare_name_sets_nothing() {
        let env = list(&["A=1", "B", "A=2", "C=x=y", "=C:=C:\\"]);
        let get = |name| get(&env, name, NameCase::Sensitive);
        assert_eq!(get("A"), Some("2"));
        assert_eq!(get("B"), None);
        assert_eq!(get("C"), Some("x=y"));
        assert_eq!(get("a"), None);
    }

    #[test]
    fn setting_happens_in_place_and_leaves_one_entry() {
        let mut env = list(&["X=0", "A=1", "B", "A=2"]);
        set(&mut env, "A", "3", NameCase::Sensitive);
        set(&mut env, "B", "", NameCase::Sensitive);
        set(&mut env, "N", "new", NameCase::Sensitive);
        assert_eq!(env, list(&["X=0", "A=3", "B=", "N=new"]));
        unset(&mut env, "A", NameCase::Sensitive);
        unset(&mut env, "absent", NameCase::Sensitive);
        assert_eq!(env, list(&["X=0", "B=", "N=new"]));
    }

    #[test]
    fn variables_without_braces_are_found() {
        for (value, name) in [
            ("/x:$PATH", Some("PATH")),
            ("$A$B", Some("A")),
            ("${A}", None),
            ("$$", None),
            ("cost: 5$", None),
            ("$1 $_x", Some("_x")),
        ] {
            assert_eq!(unbraced(value), name, "{value}");
        }
    }

    #[test]
    fn windows_names_ignore_case() {
        let case = NameCase::of_os("windows");
        let mut env = list(&["Path=C:\\Windows", "TEMP=x"]);
        assert_eq!(get(&env, "PATH", case), Some("C:\\Windows"));
        set(&mut env, "PATH", "D:\\", case);
        unset(&mut env, "temp", case);
        assert_eq!(env, list(&["PATH=D:\\"]));
        assert_eq!(lookup(&[], "PATH", case), None);
        assert_eq!(NameCase::of_os("linux"), NameCase::Sensitive);
    }

    #[test]
    fn expansion() {
        let env = ["A=one", "EMPTY=", "PATH=/bin", "D=${A}"];
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("${A}", "one"),
            ("<${A}${A}>", "<oneone>"),
            ("${UNSET}", ""),
            ("${UNSET:-word}", "word"),
            ("${EMPTY:-word}", "word"),
            ("${A:-word}", "one"),
            ("${UNSET:+word}", ""),
            ("${EMPTY:+word}", ""),
            ("${A:+word}", "word"),
            ("${UNSET:-}", ""),
            ("${UNSET:-${A}-${EMPTY:-${A:+deep}}}", "one-deep"),
            ("/x${PATH:+:${PATH}}", "/x:/bin"),
            // One pass: what a value holds is not expanded again.
            ("${D}", "${A}"),
            ("$${A}", "${A}"),
            ("$$${A}", "$${A}"),
            ("${UNSET:-$${A}", "${A"),
            ("$", "$"),
            ("$$", "$$"),
            ("$A $1 $(x) a$", "$A $1 $(x) a$"),
            ("}", "}"),
            ("{A}", "{A}"),
            ("ü${A}ü", "üoneü"),
        ] {
            assert_eq!(over(&env, text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_base_without_path_has_the_runtimes() {
        assert_eq!(
            over(&[], "/openhands/bin:${PATH}").unwrap(),
            format!("/openhands/bin:{DEFAULT_PATH}")
        );
        // Without `=` the entry sets nothing, so the runtime's default holds too.
        assert_eq!(over(&["PATH"], "${PATH}").unwrap(), DEFAULT_PATH);
        assert_eq!(over(&["PATH="], "${PATH}").unwrap(), "");
    }

    #[test]
    fn errors_name_the_position() {
        for (text, want) in [
            ("ab${", ExpandError::Unterminated(2)),
            ("ab${A", ExpandError::Unterminated(2)),
            ("${A:-x", ExpandError::Unterminated(0)),
            ("${A:-${B}", ExpandError::Unterminated(0)),
            ("x${}", ExpandError::Name(1)),
            ("${1A}", ExpandError::Name(0)),
            ("${-A}", ExpandError::Name(0)),
            ("${A-word}", ExpandError::Operator(3)),
            ("${A:=word}", ExpandError::Operator(3)),
            ("${A:ü}", ExpandError::Operator(3)),
        ] {
            assert_eq!(over(&["A=1"], text), Err(want), "{text}");
        }
        let nested = format!("{}x{}", "${A:+".repeat(17), "}".repeat(17));
        assert_eq!(over(&["A=1"], &nested), Err(ExpandError::Depth(80)));
        let nested = format!("{}x{}", "${A:+".repeat(16), "}".repeat(16));
        assert_eq!(over(&["A=1"], &nested).as_deref(), Ok("x"));
    }

    #[test]
    fn a_small_template_cannot_fill_memory() {
        let big = format!("A={}", "x".repeat(MAX_VALUE / 2));
        assert_eq!(
            over(&[&big], "${A}${A}").map(|text| text.len()),
            Ok(MAX_VALUE)
        );
        assert_eq!(over(&[&big], "${A}${A}x"), Err(ExpandError::TooLong));
    }

    proptest! {
        #[test]
        fn expansion_never_panics(text in "[$AB{}:+\\-ü1]{0,40}") {
            let _ = over(&["A=1", "B=${A}"], &text);
        }

        #[test]
        fn text_without_a_dollar_is_itself(text in "[^$]{0,60}") {
            prop_assert_eq!(over(&["A=1"], &text), Ok(text));
        }

        #[test]
        fn what_was_set_is_what_is_read(
            entries in proptest::collection::vec("[AB]?=?[ab=]{0,3}", 0..8),
            value in "[a-z=$ ]{0,5}",
        ) {
            let mut env = entries;
            let others: Vec<String> = env.iter().filter(|e| name_of(e) != "A").cloned().collect();
            set(&mut env, "A", &value, NameCase::Sensitive);
            prop_assert_eq!(get(&env, "A", NameCase::Sensitive), Some(value.as_str()));
            unset(&mut env, "A", NameCase::Sensitive);
            prop_assert_eq!(env, others);
        }
    }
}
