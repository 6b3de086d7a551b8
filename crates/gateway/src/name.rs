//! What a rule's names look like: which repository names they match, and what of a base those name.

use std::fmt;

use ohoci_image::reference::is_tag;
use ohoci_image::{Digest, Reference, RegistryReference};

/// What a component of a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Itself.
    Literal(String),
    /// The base's registry; a port stands behind an underscore.
    Registry,
    /// The base's repository: one component or several.
    Repository,
    /// The base's tag.
    Tag,
    /// The hexadecimal digits of the base's SHA-256 digest.
    Digest,
}

/// The names that a rule answers for, such as `openhands/{registry}/{repository}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamePattern(Vec<Part>);

/// What a name says of a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bound {
    registry: Option<String>,
    repository: Option<String>,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why text is no pattern of names, or of bases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PatternError(String);

impl NamePattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let wrong = |why: &str| PatternError(format!("name {text:?}: {why}"));
        let mut parts = Vec::new();
        for component in text.split('/') {
            let part = match component {
                "{registry}" => Part::Registry,
                "{repository}" => Part::Repository,
                "{tag}" => Part::Tag,
                "{digest}" => Part::Digest,
                literal if literal.contains(['{', '}']) => {
                    return Err(wrong(
                        "{registry}, {repository}, {tag} and {digest} are components of their own",
                    ));
                }
                literal => {
                    if RegistryReference::new("localhost", literal, None, None).is_err() {
                        return Err(wrong("it is no name that a repository can have"));
                    }
                    Part::Literal(literal.to_owned())
                }
            };
            if !matches!(part, Part::Literal(_)) && parts.contains(&part) {
                return Err(wrong("it has the same placeholder twice"));
            }
            parts.push(part);
        }
        if parts.contains(&Part::Tag) && parts.contains(&Part::Digest) {
            return Err(wrong("it has both {tag} and {digest}"));
        }
        Ok(Self(parts))
    }

    /// What a name says, if it is one of these.
    pub(crate) fn bind(&self, name: &str) -> Option<Bound> {
        let components: Vec<&str> = name.split('/').collect();
        // All but the repository are one component each.
        let others = self.0.len().checked_sub(1)?;
        let several = match self.0.contains(&Part::Repository) {
            true => components.len().checked_sub(others)?,
            false if components.len() == self.0.len() => 1,
            false => return None,
        };
        if several == 0 {
            return None;
        }
        let mut rest = components.as_slice();
        let mut bound = Bound::default();
        for part in &self.0 {
            let count = if *part == Part::Repository {
                several
            } else {
                1
            };
            let (these, behind) = rest.split_at_checked(count)?;
            rest = behind;
            let text = these.join("/");
            match part {
                Part::Literal(literal) if *literal == text => {}
                Part::Literal(_) => return None,
                Part::Registry => bound.registry = Some(with_port(&text)),
                Part::Repository => bound.repository = Some(text),
                Part::Tag => bound.tag = Some(text),
                Part::Digest if is_hex(&text) => bound.digest = Some(text),
                Part::Digest => return None,
            }
        }
        rest.is_empty().then_some(bound)
    }
}

/// A host of which the port stands behind an underscore, as no colon can be in a name.
fn with_port(text: &str) -> String {
    match text.rsplit_once('_') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{host}:{port}")
        }
        _ => text.to_owned(),
    }
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The base that a rule composes on, such as `{registry}/{repository}`, or one image for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BasePattern {
    text: String,
    /// Whether it says itself which image of the repository it is.
    is_whole: bool,
}

impl fmt::Display for BasePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl BasePattern {
    pub(crate) fn parse(text: &str, name: &NamePattern) -> Result<Self, PatternError> {
        let wrong = |why: &str| PatternError(format!("base {text:?}: {why}"));
        let mut left = text.to_owned();
        for (placeholder, part) in [
            ("{registry}", Part::Registry),
            ("{repository}", Part::Repository),
            ("{tag}", Part::Tag),
            ("{digest}", Part::Digest),
        ] {
            let is_there = left.contains(placeholder);
            if is_there && !name.0.contains(&part) {
                return Err(wrong(&format!("the rule's name has no {placeholder}")));
            }
            let example = if part == Part::Digest {
                "0".repeat(64)
            } else {
                "registry.example".to_owned()
            };
            left = left.replace(placeholder, &example);
        }
        if left.contains(['{', '}']) {
            return Err(wrong(
                "there are {registry}, {repository}, {tag} and {digest}, and no others",
            ));
        }
        match left.parse::<Reference>() {
            Ok(Reference::Registry(reference)) => Ok(Self {
                text: text.to_owned(),
                is_whole: reference.tag().is_some() || reference.digest().is_some(),
            }),
            Ok(_) => Err(wrong("it is in no registry")),
            Err(error) => Err(wrong(&error.to_string())),
        }
    }

    /// The repository that a name means, with tag or digest where those do not depend on the tag that
    /// is asked for.
    pub(crate) fn repository(&self, bound: &Bound) -> Result<RegistryReference, PatternError> {
        let mut text = self.text.clone();
        for (placeholder, value) in [
            ("{registry}", &bound.registry),
            ("{repository}", &bound.repository),
            ("{tag}", &bound.tag),
            ("{digest}", &bound.digest),
        ] {
            text = text.replace(placeholder, value.as_deref().unwrap_or_default());
        }
        if !self.is_whole {
            if let Some(tag) = &bound.tag {
                text.push(':');
                text.push_str(tag);
            }
            if let Some(digest) = &bound.digest {
                text.push_str("@sha256:");
                text.push_str(digest);
            }
        }
        match text.parse() {
            Ok(Reference::Registry(reference)) => Ok(reference),
            Ok(_) => Err(PatternError(format!("{text} is in no registry"))),
            Err(error) => Err(PatternError(error.to_string())),
        }
    }
}

/// The base that a tag of a repository means. Where the repository's name says which base it is, the
/// only tag is `latest`; `sha256-HEX` is the base at that digest.
pub(crate) fn base_of(repository: &RegistryReference, tag: &str) -> Option<RegistryReference> {
    if names_one(repository) {
        return (tag == ONLY_TAG).then(|| repository.clone());
    }
    if let Some(hex) = tag.strip_prefix("sha256-")
        && is_hex(hex)
    {
        let digest: Digest = format!("sha256:{hex}").parse().ok()?;
        return Some(repository.at(&digest));
    }
    if !is_tag(tag) {
        return None;
    }
    let (host, name) = (repository.host(), repository.repository());
    RegistryReference::new(host, name, Some(tag), None).ok()
}

/// The tag of repositories whose names say which base they mean.
pub(crate) const ONLY_TAG: &str = "latest";

/// Whether a repository's name says which base it means.
pub(crate) fn names_one(repository: &RegistryReference) -> bool {
    repository.tag().is_some() || repository.digest().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(name: &str, base: &str, asked: &str, tag: &str) -> Option<String> {
        let name = NamePattern::parse(name).unwrap();
        let base = BasePattern::parse(base, &name).unwrap();
        let repository = base.repository(&name.bind(asked)?).ok()?;
        base_of(&repository, tag).map(|base| base.to_string())
    }

    #[test]
    fn names_say_which_base_is_meant() {
        let hex = "0123456789abcdef".repeat(4);
        let any = (
            "openhands/{registry}/{repository}",
            "{registry}/{repository}",
        );
        let digest = format!("registry.example/a/b@sha256:{hex}");
        let by_digest_tag = format!("sha256-{hex}");
        let by_digest_name = format!("oh/a/b/{hex}");
        for ((name, pattern), asked, tag, expected) in [
            (
                any,
                "openhands/docker.io/library/debian",
                "12",
                Some("docker.io/library/debian:12"),
            ),
            (
                any,
                "openhands/docker.io/debian",
                "12",
                Some("docker.io/library/debian:12"),
            ),
            (
                any,
                "openhands/127.0.0.1_5000/a",
                "1",
                Some("127.0.0.1:5000/a:1"),
            ),
            (
                any,
                "openhands/registry.example/a/b",
                by_digest_tag.as_str(),
                Some(digest.as_str()),
            ),
            (any, "openhands/docker.io", "12", None),
            (any, "other/docker.io/debian", "12", None),
            (
                any,
                "openhands/docker.io/debian",
                "sha256-12.sig",
                Some("docker.io/library/debian:sha256-12.sig"),
            ),
            (
                ("{repository}", "docker.io/{repository}"),
                "library/debian",
                "12",
                Some("docker.io/library/debian:12"),
            ),
            (
                ("oh/{repository}/{tag}", "registry.example/{repository}"),
                "oh/a/b/1.2",
                "latest",
                Some("registry.example/a/b:1.2"),
            ),
            (
                ("oh/{repository}/{tag}", "registry.example/{repository}"),
                "oh/a/b/1.2",
                "1",
                None,
            ),
            (
                ("oh/{repository}/{digest}", "registry.example/{repository}"),
                by_digest_name.as_str(),
                "latest",
                Some(digest.as_str()),
            ),
            (
                ("python", "registry.example/python:3.12"),
                "python",
                "latest",
                Some("registry.example/python:3.12"),
            ),
        ] {
            assert_eq!(
                base(name, pattern, asked, tag).as_deref(),
                expected,
                "{asked}:{tag}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_rule_is_refused() {
        for name in [
            "",
            "a//b",
            "A",
            "a/{x}",
            "a{registry}",
            "{tag}/{tag}",
            "{tag}/{digest}",
            "../a",
        ] {
            assert!(NamePattern::parse(name).is_err(), "{name}");
        }
        let name = NamePattern::parse("a/{repository}").unwrap();
        for base in [
            "{registry}/{repository}",
            "oci:{repository}",
            "scratch",
            "{x}",
            "",
            "a b",
        ] {
            assert!(BasePattern::parse(base, &name).is_err(), "{base}");
        }
    }

    #[test]
    fn no_name_leads_to_another_place_than_a_registry() {
        let name = NamePattern::parse("o/{registry}/{repository}").unwrap();
        let pattern = BasePattern::parse("{registry}/{repository}", &name).unwrap();
        // What repository names may be made of, at its oddest.
        for (asked, host) in [
            ("o/a/b", "docker.io"),
            ("o/oci/b", "docker.io"),
            ("o/localhost/b", "localhost"),
            ("o/1__2/b", "docker.io"),
        ] {
            match pattern.repository(&name.bind(asked).unwrap()) {
                Ok(reference) => assert_eq!(reference.host(), host, "{asked}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
