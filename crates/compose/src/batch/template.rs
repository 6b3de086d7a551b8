//! Target references from a template and a base: `registry.example/out/{name}:{tag}`.

use ohoci_image::{Digest, Reference, RegistryReference};

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Registry,
    Repository,
    Name,
    Tag,
    Digest,
    ShortDigest,
    Slug,
    InstanceId,
}

const VARIABLES: [(&str, Variable); 8] = [
    ("registry", Variable::Registry),
    ("repository", Variable::Repository),
    ("name", Variable::Name),
    ("tag", Variable::Tag),
    ("digest", Variable::Digest),
    ("short_digest", Variable::ShortDigest),
    ("slug", Variable::Slug),
    ("instance_id", Variable::InstanceId),
];

/// Why a template cannot be used, or not for a base.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace that is never closed.
    #[error("the template {0:?} has a {{ without a }}")]
    Unclosed(String),
    /// No such variable.
    #[error(
        "the template {template:?} has {{{name}}}, which is none of {}",
        names()
    )]
    Unknown {
        /// The template.
        template: String,
        /// What stands between the braces.
        name: String,
    },
    /// The base has nothing to put there.
    #[error("{base} has no {{{name}}} for the template")]
    Missing {
        /// The base.
        base: String,
        /// The variable.
        name: &'static str,
    },
    /// What comes out is no reference.
    #[error("{0}")]
    Reference(String),
}

fn names() -> String {
    let names: Vec<String> = VARIABLES
        .iter()
        .map(|(name, _)| format!("{{{name}}}"))
        .collect();
    names.join(" ")
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// An unclosed brace or an unknown variable.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (name, behind) = after
                .split_once('}')
                .ok_or_else(|| TemplateError::Unclosed(text.to_owned()))?;
            let (_, variable) = VARIABLES
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| TemplateError::Unknown {
                    template: text.to_owned(),
                    name: name.to_owned(),
                })?;
            parts.push(Part::Variable(*variable));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// Whether the base's digest is part of the target, so that the base has to be read first.
    #[must_use]
    pub fn needs_digest(&self) -> bool {
        self.parts.iter().any(|part| {
            matches!(
                part,
                Part::Variable(Variable::Digest | Variable::ShortDigest)
            )
        })
    }

    /// The target for a base. `digest` is what the base resolved to, where that is known.
    ///
    /// # Errors
    /// When the base lacks what the template asks for, or the result is no reference.
    pub fn expand(
        &self,
        base: &RegistryReference,
        digest: Option<&Digest>,
    ) -> Result<Reference, TemplateError> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(variable) => text.push_str(&value(*variable, base, digest)?),
            }
        }
        text.parse()
            .map_err(|error| TemplateError::Reference(format!("{error} (from {:?})", self.text)))
    }
}

fn value(
    variable: Variable,
    base: &RegistryReference,
    digest: Option<&Digest>,
) -> Result<String, TemplateError> {
    let missing = |name| TemplateError::Missing {
        base: base.to_string(),
        name,
    };
    let digest = digest.or(base.digest());
    Ok(match variable {
        Variable::Registry => base.host().to_owned(),
        Variable::Repository => base.repository().to_owned(),
        Variable::Name => name(base).to_owned(),
        Variable::Tag => match (base.tag(), base.digest()) {
            (Some(tag), _) => tag.to_owned(),
            (None, None) => "latest".to_owned(),
            (None, Some(_)) => return Err(missing("tag")),
        },
        Variable::Digest => digest.ok_or_else(|| missing("digest"))?.hex().to_owned(),
        Variable::ShortDigest => digest
            .ok_or_else(|| missing("short_digest"))?
            .short()
            .to_owned(),
        Variable::Slug => slug(base),
        Variable::InstanceId => instance_id(name(base)).ok_or_else(|| missing("instance_id"))?,
    })
}

/// The last component of the repository.
fn name(base: &RegistryReference) -> &str {
    base.repository()
        .rsplit('/')
        .next()
        .unwrap_or(base.repository())
}

/// The whole reference as one legal tag: letters and digits as they are, everything else a dash;
/// the end is kept when it is too long, since that is what tells references apart.
fn slug(base: &RegistryReference) -> String {
    let text: String = base
        .to_string()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
                c
            } else {
                '-'
            }
        })
        .collect();
    let start = text.len().saturating_sub(128);
    text.get(start..)
        .unwrap_or(&text)
        .trim_start_matches(['.', '-'])
        .to_owned()
}

/// `django__django-11333` of `sweb.eval.x86_64.django_1776_django-11333`, as SWE-bench names its
/// images (`swebench/harness/test_spec/test_spec.py`, `instance_image_key`).
fn instance_id(name: &str) -> Option<String> {
    let (_, rest) = name.split_once("sweb.eval.")?;
    let (_architecture, id) = rest.split_once('.')?;
    (!id.is_empty()).then(|| id.replace("_1776_", "__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(template: &str, base: &str) -> Result<String, TemplateError> {
        Template::parse(template)?
            .expand(&base.parse().unwrap(), None)
            .map(|reference| reference.to_string())
    }

    #[test]
    fn every_variable() {
        let base = "registry.example:5000/swebench/sweb.eval.x86_64.django_1776_django-11333:v1";
        for (template, expected) in [
            (
                "{registry}/out/{name}:{tag}",
                "registry.example:5000/out/sweb.eval.x86_64.django_1776_django-11333:v1",
            ),
            (
                "r.example/{repository}:x",
                "r.example/swebench/sweb.eval.x86_64.django_1776_django-11333:x",
            ),
            (
                "r.example/out:{instance_id}",
                "r.example/out:django__django-11333",
            ),
            (
                "oci:dir:{name}",
                "oci:dir:sweb.eval.x86_64.django_1776_django-11333",
            ),
            (
                "r.example/out:{slug}",
                "r.example/out:registry.example-5000-swebench-sweb.eval.x86_64.django_1776_django-11333-v1",
            ),
        ] {
            assert_eq!(expand(template, base).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn digests_come_from_the_base_or_from_reading_it() {
        let digest = Digest::of(b"x");
        let template = Template::parse("r.example/out:{short_digest}").unwrap();
        assert!(template.needs_digest());
        let tagged: RegistryReference = "debian:12".parse().unwrap();
        assert!(matches!(
            template.expand(&tagged, None),
            Err(TemplateError::Missing { .. })
        ));
        let expected = format!("r.example/out:{}", digest.short());
        assert_eq!(
            template.expand(&tagged, Some(&digest)).unwrap().to_string(),
            expected
        );
        let pinned: RegistryReference = format!("debian@{digest}").parse().unwrap();
        assert_eq!(
            template.expand(&pinned, None).unwrap().to_string(),
            expected
        );
    }

    #[test]
    fn what_cannot_be_is_said() {
        assert!(matches!(
            expand("r.example/{nam}:x", "debian"),
            Err(TemplateError::Unknown { name, .. }) if name == "nam"
        ));
        assert!(matches!(
            expand("r.example/{name", "debian"),
            Err(TemplateError::Unclosed(_))
        ));
        assert!(matches!(
            expand("r.example/a:{instance_id}", "debian"),
            Err(TemplateError::Missing { .. })
        ));
        assert!(matches!(
            expand("r.example/A/{name}:x", "debian"),
            Err(TemplateError::Reference(_))
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_template_panics(text in "\\PC{0,60}") {
            let _ = expand(&text, "registry.example/a/b:c");
        }
    }
}
