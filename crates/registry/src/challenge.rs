//! `WWW-Authenticate`: how a registry wants to be convinced (RFC 9110, 11.3 and 11.6.1).

use super::scope::{Scope, ScopeSet};

/// Longest header value that is read, in bytes.
const MAX_HEADER: usize = 16 << 10;

/// One way of authenticating that a registry offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A name and a password with every request (RFC 7617).
    Basic,
    /// A token from elsewhere (distribution, `docs/spec/auth/token.md`).
    Bearer {
        /// Where the token is to be had.
        realm: String,
        /// The name of the registry there.
        service: Option<String>,
        /// What the token should permit.
        scopes: ScopeSet,
        /// Why the request was refused, such as `insufficient_scope`.
        error: Option<String>,
    },
}

/// Reads every `WWW-Authenticate` header of an answer. Schemes that ohoci does not speak and
/// anything malformed are skipped.
pub(crate) fn parse<'a>(headers: impl IntoIterator<Item = &'a [u8]>) -> Vec<Challenge> {
    let mut found = Vec::new();
    for header in headers.into_iter().take(16) {
        let text = String::from_utf8_lossy(header.get(..MAX_HEADER).unwrap_or(header));
        parse_one(&text, &mut found);
    }
    found
}

/// How many challenges a `WWW-Authenticate` header holds: a way in for the fuzzer, nothing else.
#[doc(hidden)]
#[must_use]
pub fn count_challenges(header: &[u8]) -> usize {
    parse([header]).len()
}

/// A challenge while it is being read.
struct Draft {
    scheme: String,
    parameters: Vec<(String, String)>,
}

fn parse_one(text: &str, found: &mut Vec<Challenge>) {
    let mut rest = text;
    let mut draft: Option<Draft> = None;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        let value_follows = after.trim_start_matches([' ', '\t']);
        if let Some(value) = value_follows.strip_prefix('=')
            && let Some(draft) = draft.as_mut()
        {
            let (value, after) = parameter_value(value.trim_start_matches([' ', '\t']));
            draft.parameters.push((word.to_ascii_lowercase(), value));
            rest = after;
        } else {
            found.extend(draft.take().as_ref().and_then(finish));
            draft = Some(Draft {
                scheme: word.to_ascii_lowercase(),
                parameters: Vec::new(),
            });
            rest = after;
        }
    }
    found.extend(draft.as_ref().and_then(finish));
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c)))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// A token or a quoted string, and what follows it.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return (value.to_owned(), after);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn finish(draft: &Draft) -> Option<Challenge> {
    match draft.scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let get = |name: &str| {
                draft
                    .parameters
                    .iter()
                    .find(|(key, _)| key == name)
                    .map(|(_, value)| value.clone())
            };
            Some(Challenge::Bearer {
                realm: get("realm")?,
                service: get("service"),
                // Some registries repeat the parameter, others join scopes with blanks.
                scopes: draft
                    .parameters
                    .iter()
                    .filter(|(key, _)| key == "scope")
                    .flat_map(|(_, value)| value.split_ascii_whitespace())
                    .filter_map(Scope::parse)
                    .take(32)
                    .collect(),
                error: get("error"),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: Option<&str>, scopes: &[&str]) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scopes: scopes.iter().filter_map(|s| Scope::parse(s)).collect(),
            error: None,
        }
    }

    fn read(text: &str) -> Vec<Challenge> {
        parse([text.as_bytes()])
    }

    #[test]
    fn what_registries_send() {
        assert_eq!(
            read(
                r#"Bearer realm="https://auth.registry.example/token",service="registry.example",scope="repository:a/b:pull,push""#
            ),
            [bearer(
                "https://auth.registry.example/token",
                Some("registry.example"),
                &["repository:a/b:pull,push"]
            )]
        );
        assert_eq!(read(r#"Basic realm="Registry Realm""#), [Challenge::Basic]);
        assert_eq!(read("basic"), [Challenge::Basic]);
        assert_eq!(
            read(
                r#"BEARER Realm=https://r.example/t , Scope="repository:a:pull repository:b:pull""#
            ),
            [bearer(
                "https://r.example/t",
                None,
                &["repository:a:pull", "repository:b:pull"]
            )]
        );
    }

    #[test]
    fn several_challenges_in_one_header_and_in_several() {
        let both = [bearer("https://r.example", None, &[]), Challenge::Basic];
        assert_eq!(
            read(r#"Bearer realm="https://r.example", Basic realm="x, y=\"z\"""#),
            both
        );
        assert_eq!(
            parse([
                &br#"Negotiate"#[..],
                br#"Bearer realm="https://r.example""#,
                b"Basic realm=x"
            ]),
            both
        );
    }

    #[test]
    fn escapes_inside_quotes() {
        assert_eq!(
            read(r#"Bearer realm="https://r.example/a\"b\\c",service="s,t""#),
            [bearer(r#"https://r.example/a"b\c"#, Some("s,t"), &[])]
        );
    }

    #[test]
    fn garbage_is_no_challenge() {
        for text in [
            "",
            ",,,",
            "=",
            "Bearer",
            "Bearer scope=x",
            "Digest realm=\"x\"",
            "\u{fffd}",
            "Bearer realm",
        ] {
            assert_eq!(read(text), [], "{text}");
        }
        assert_eq!(
            read(r#"Bearer realm="https://r.example"#),
            [bearer("https://r.example", None, &[])]
        );
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse([header.as_slice()]);
        }
    }
}
