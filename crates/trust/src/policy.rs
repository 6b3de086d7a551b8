//! The policy: which images may be used, and what has to be shown for them.

use std::fmt;

use ohoci_image::{Digest, Platform, Reference, RegistryReference};

use crate::pattern::matches;
use crate::signature::{Form, Signature};
use crate::statement;
use crate::trusted::{self, Trusted};

/// All that has to hold: containers' policy and ohoci's own, where each is there.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// A rule of each of these has to accept an image.
    pub parts: Vec<Part>,
}

/// The rules of one file.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: String,
    /// How rules are chosen.
    pub order: Order,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// How the rule for an image is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first that matches.
    First,
    /// The one with the most special scope, as containers' `policy.json` has it.
    MostSpecial,
}

/// What is asked of the images of a scope.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What it is called in messages.
    pub name: String,
    /// Which images it is about.
    pub scope: Scope,
    /// What has to hold, all of it.
    pub requirements: Vec<Requirement>,
}

/// Which images a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every image.
    All,
    /// Images of registries: a scope of `policy.json`, such as `registry.example/team`; empty is all.
    Docker(String),
    /// Images in a place of this machine: the transport, and a path or a directory above it.
    Local(&'static str, String),
    /// Names that match one of these patterns, in which `*` stands for anything.
    Patterns(Vec<String>),
}

/// What has to hold.
#[derive(Clone, Debug)]
pub enum Requirement {
    /// Nothing.
    Accept,
    /// It cannot be met.
    Reject,
    /// The policy asks for something that ohoci does not verify: what, in words.
    Unknown(String),
    /// One of these signed the image.
    Signed {
        /// Whose signatures count.
        by: Vec<Trusted>,
        /// What the signature has to call the image.
        identity: Identity,
    },
    /// One of these signed such statements about the image.
    Attested {
        /// Whose signatures count.
        by: Vec<Trusted>,
        /// The types of the statements, all of which have to be there.
        types: Vec<String>,
    },
    /// The image has one of these digests.
    Digests(Vec<Digest>),
    /// The images that are used are for one of these platforms.
    Platforms(Vec<Platform>),
}

/// What a signature has to call the image (`containers-policy.json(5)`, "signedIdentity").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Anything: the signature is about the digest.
    Any,
    /// The same repository and tag; an image that is named by digest has the same repository.
    RepositoryOrExact,
    /// The same repository and tag.
    Exact,
    /// The same repository.
    Repository,
    /// This reference.
    ExactReference(String),
    /// This repository.
    ExactRepository(String),
}

/// An image was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file and the rule.
    pub rule: String,
    /// What was found instead of what the rule asks for.
    pub found: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} refuses it: {}", self.rule, self.found)
    }
}

impl Policy {
    /// The rules that count for an image, with their files. A file none of whose rules is about it
    /// asks for nothing.
    #[must_use]
    pub fn rules(&self, image: &Reference) -> Vec<(&str, &Rule)> {
        self.parts
            .iter()
            .filter_map(|part| Some((part.file.as_str(), part.rule(image)?)))
            .filter(|(_, rule)| !rule.accepts_everything())
            .collect()
    }
}

impl Part {
    fn rule(&self, image: &Reference) -> Option<&Rule> {
        let matching = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule.scope.specialty(image)?, rule)));
        match self.order {
            Order::First => matching.map(|(_, rule)| rule).next(),
            Order::MostSpecial => matching
                .max_by_key(|(specialty, _)| *specialty)
                .map(|(_, rule)| rule),
        }
    }
}

impl Scope {
    /// How special the scope is if it holds the image.
    fn specialty(&self, image: &Reference) -> Option<usize> {
        match (self, image) {
            (Self::All, _) => Some(0),
            (Self::Docker(scope), Reference::Registry(name)) => docker_specialty(scope, name),
            (Self::Local(transport, path), image) => {
                let (kind, at) = local(image)?;
                let is_below = path.is_empty()
                    || at == *path
                    || at
                        .strip_prefix(path.as_str())
                        .is_some_and(|rest| rest.starts_with(['/', ':']) || path.ends_with('/'));
                (kind == *transport && is_below).then_some(path.len().saturating_add(1))
            }
            (Self::Patterns(patterns), image) => {
                let names = names(image);
                let mut patterns = patterns.iter();
                let is_named = |pattern: &String| names.iter().any(|name| matches(pattern, name));
                patterns.any(is_named).then_some(1)
            }
            _ => None,
        }
    }
}

/// `containers-policy.json(5)`: an image, its repository, each namespace above it, its host, and
/// `*.domain` above that.
fn docker_specialty(scope: &str, name: &RegistryReference) -> Option<usize> {
    if scope.is_empty() {
        return Some(1);
    }
    if let Some(domain) = scope.strip_prefix("*.") {
        let host = name.host();
        let is_below = host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'));
        return is_below.then_some(domain.len());
    }
    let repository = name.name();
    let specialty = scope.len().saturating_add(1 << 16);
    let is_image = name
        .digest()
        .is_some_and(|digest| scope == format!("{repository}@{digest}"))
        || scope == format!("{repository}:{}", name.tag().unwrap_or("latest"));
    let is_above = repository == scope
        || repository
            .strip_prefix(scope)
            .is_some_and(|rest| rest.starts_with('/'));
    (is_image || is_above).then_some(specialty)
}

fn local(image: &Reference) -> Option<(&'static str, String)> {
    let (kind, path) = match image {
        Reference::Layout { path, .. } => ("oci", path),
        Reference::OciArchive { path, .. } => ("oci-archive", path),
        Reference::DockerArchive { path, .. } => ("docker-archive", path),
        Reference::Registry(_) | Reference::Scratch => return None,
    };
    Some((kind, path.to_string_lossy().into_owned()))
}

/// What patterns are matched with: the image's name, and it without its tag and digest.
fn names(image: &Reference) -> Vec<String> {
    match image {
        Reference::Registry(name) => vec![
            name.name(),
            format!("{}:{}", name.name(), name.tag().unwrap_or("latest")),
            name.to_string(),
        ],
        other => vec![other.to_string()],
    }
}

impl Rule {
    fn accepts_everything(&self) -> bool {
        self.requirements
            .iter()
            .all(|requirement| matches!(requirement, Requirement::Accept))
    }

    /// Whether signatures have to be looked for before it is known that the rule is kept.
    #[must_use]
    pub fn needs_signatures(&self) -> bool {
        self.requirements.iter().any(|requirement| {
            matches!(
                requirement,
                Requirement::Signed { .. } | Requirement::Attested { .. }
            )
        })
    }

    /// Whether an image for that platform may be used.
    #[must_use]
    pub fn allows(&self, platform: &Platform) -> bool {
        self.requirements
            .iter()
            .all(|requirement| match requirement {
                Requirement::Platforms(platforms) => {
                    platforms.iter().any(|allowed| allowed.selects(platform))
                }
                _ => true,
            })
    }

    /// Whether what was found beside an image is what the rule asks for. Platforms are another
    /// question: see [`allows`](Self::allows).
    ///
    /// # Errors
    /// What is not.
    pub fn judge(
        &self,
        file: &str,
        image: &Reference,
        digest: &Digest,
        found: &[Signature],
    ) -> Result<(), Refusal> {
        let refuse = |found: String| Refusal {
            rule: format!("{file} ({})", self.name),
            found,
        };
        for requirement in &self.requirements {
            match requirement {
                Requirement::Accept | Requirement::Platforms(_) => {}
                Requirement::Reject => {
                    return Err(refuse("it lets no image of that name in".to_owned()));
                }
                Requirement::Unknown(what) => return Err(refuse(what.clone())),
                Requirement::Digests(digests) if digests.contains(digest) => {}
                Requirement::Digests(digests) => {
                    let pinned = list(digests.iter().map(ToString::to_string));
                    return Err(refuse(format!("it is {digest}, and pinned to {pinned}")));
                }
                Requirement::Signed { by, identity } => {
                    signed(by, identity, image, digest, found).map_err(refuse)?;
                }
                Requirement::Attested { by, types } => {
                    for kind in types {
                        attested(by, kind, digest, found).map_err(refuse)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn signed(
    by: &[Trusted],
    identity: &Identity,
    image: &Reference,
    digest: &Digest,
    found: &[Signature],
) -> Result<(), String> {
    let mut why = Vec::new();
    for signature in found {
        let reason = match trusted::claim(by, signature, digest) {
            Ok(claim) if claim.predicate_type != statement::SIGNED => {
                format!("it is no signature, but says {}", claim.predicate_type)
            }
            Ok(claim) => match identity.fits(claim.name.as_deref(), claim.form, image) {
                Ok(()) => return Ok(()),
                Err(other) => other,
            },
            Err(None) => continue,
            Err(Some(worthless)) => worthless.to_string(),
        };
        why.push(format!("{}: {reason}", signature.place()));
    }
    let wanted = list(by.iter().map(Trusted::name));
    Err(if why.is_empty() {
        format!("no signature was found, and one by {wanted} is asked for")
    } else {
        format!("no signature by {wanted} was found, but {}", why.join("; "))
    })
}

fn attested(
    by: &[Trusted],
    kind: &str,
    digest: &Digest,
    found: &[Signature],
) -> Result<(), String> {
    let mut why = Vec::new();
    for signature in found.iter().filter(|one| one.kind() == kind) {
        match trusted::claim(by, signature, digest) {
            Ok(claim) if claim.predicate_type == kind => return Ok(()),
            Ok(_) | Err(None) => {}
            Err(Some(worthless)) => why.push(format!("{}: {worthless}", signature.place())),
        }
    }
    let wanted = list(by.iter().map(Trusted::name));
    Err(if why.is_empty() {
        format!("no statement {kind} was found, and one signed by {wanted} is asked for")
    } else {
        format!(
            "no statement {kind} by {wanted} was found, but {}",
            why.join("; ")
        )
    })
}

fn list(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(" or ")
}

impl Identity {
    fn fits(&self, named: Option<&str>, form: Form, image: &Reference) -> Result<(), String> {
        if *self == Self::Any {
            return Ok(());
        }
        let Some(named) = named else {
            return Err(match form {
                Form::Bundle => "it does not say which repository it is for".to_owned(),
                Form::Tag => "it names no image".to_owned(),
            });
        };
        let Some(image) = image.registry() else {
            return Err(format!(
                "it is for {named}, and a local image has no such name"
            ));
        };
        let other = || format!("it is for {named}");
        let named: RegistryReference = named.parse().map_err(|_| other())?;
        let same_repository = named.name() == image.name();
        // A signature that names no tag is for no tag: cosign's are for the repository.
        let same_tag = named.tag().is_some() && named.tag() == image.tag();
        let fits = match self {
            Self::Any => true,
            Self::Repository => same_repository,
            Self::Exact => same_repository && same_tag,
            Self::RepositoryOrExact => same_repository && (same_tag || image.digest().is_some()),
            Self::ExactReference(reference) => named.to_string() == *reference,
            Self::ExactRepository(repository) => named.name() == *repository,
        };
        if fits { Ok(()) } else { Err(other()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> Reference {
        text.parse().unwrap()
    }

    #[test]
    fn the_most_special_scope_counts() {
        let rule = |scope: &str| Rule {
            name: scope.to_owned(),
            scope: Scope::Docker(scope.to_owned()),
            requirements: vec![Requirement::Reject],
        };
        let scopes = [
            "",
            "*.example",
            "registry.example",
            "registry.example/team",
            "registry.example/team/app",
            "registry.example/team/app:1",
        ];
        let part = Part {
            file: "policy.json".to_owned(),
            order: Order::MostSpecial,
            rules: scopes.map(rule).into(),
        };
        for (reference, wanted) in [
            ("registry.example/team/app:1", "registry.example/team/app:1"),
            ("registry.example/team/app:2", "registry.example/team/app"),
            ("registry.example/team/apps", "registry.example/team"),
            ("registry.example/teams/app", "registry.example"),
            ("other.example/app", "*.example"),
            ("docker.io/library/debian", ""),
        ] {
            assert_eq!(
                part.rule(&image(reference)).unwrap().name,
                wanted,
                "{reference}"
            );
        }
        assert!(part.rule(&image("oci:dir:tag")).is_none());
    }

    #[test]
    fn an_identity_is_the_images_and_a_bundle_without_one_has_none() {
        let fits = |identity: Identity, named: Option<&str>, reference: &str| {
            let form = Form::Tag;
            identity.fits(named, form, &image(reference)).is_ok()
        };
        let (here, tagged) = ("registry.example/a", "registry.example/a:1");
        assert!(fits(Identity::Any, None, here));
        assert!(!fits(Identity::Repository, None, here));
        assert!(fits(Identity::Repository, Some(here), tagged));
        assert!(!fits(
            Identity::Repository,
            Some("registry.example/b"),
            tagged
        ));
        assert!(!fits(Identity::Exact, Some(here), tagged));
        assert!(fits(Identity::Exact, Some(tagged), tagged));
        let digest = format!("{here}@{}", Digest::of(b""));
        assert!(fits(Identity::RepositoryOrExact, Some(here), &digest));
        assert!(!fits(Identity::RepositoryOrExact, Some(here), tagged));
    }
}
