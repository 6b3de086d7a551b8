//! Where images are kept that get a tag each: a repository of a registry, or an OCI layout.

use std::fmt;
use std::path::PathBuf;

use super::reference::{Reference, ReferenceError, RegistryReference};

/// A repository of a registry or an OCI layout, of which no image is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Untagged {
    /// A repository.
    Repository {
        /// The registry's host and port.
        host: String,
        /// The name inside the registry.
        repository: String,
    },
    /// The directory of an OCI layout.
    Layout(PathBuf),
}

/// Why a reference does not name such a place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reference} {reason}")]
pub struct UntaggedError {
    reference: Reference,
    reason: &'static str,
}

impl TryFrom<Reference> for Untagged {
    type Error = UntaggedError;

    /// Takes a reference without a tag and without a digest.
    fn try_from(reference: Reference) -> Result<Self, UntaggedError> {
        let reason = match &reference {
            Reference::Registry(name) if name.tag().is_none() && name.digest().is_none() => {
                return Ok(Self::Repository {
                    host: name.host().to_owned(),
                    repository: name.repository().to_owned(),
                });
            }
            Reference::Layout { path, tag: None } => return Ok(Self::Layout(path.clone())),
            Reference::Registry(_) | Reference::Layout { .. } => {
                "has a tag or a digest; what is kept there gets tags of its own"
            }
            _ => "is neither a registry nor an OCI layout",
        };
        Err(UntaggedError { reference, reason })
    }
}

impl Untagged {
    /// The image with this tag.
    ///
    /// # Errors
    /// When it cannot be a tag in a registry.
    pub fn tagged(&self, tag: &str) -> Result<Reference, ReferenceError> {
        match self {
            Self::Repository { host, repository } => {
                RegistryReference::new(host, repository, Some(tag), None).map(Reference::Registry)
            }
            Self::Layout(path) => Ok(Reference::Layout {
                path: path.clone(),
                tag: Some(tag.to_owned()),
            }),
        }
    }
}

impl fmt::Display for Untagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository { host, repository } => write!(f, "{host}/{repository}"),
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Result<Untagged, UntaggedError> {
        text.parse::<Reference>().unwrap().try_into()
    }

    #[test]
    fn tags_are_added_to_what_has_none() {
        for (text, tagged) in [
            ("registry.example/a/levels", "registry.example/a/levels:x-1"),
            ("registry.example:5000/a", "registry.example:5000/a:x-1"),
            ("oci:levels", "oci:levels:x-1"),
        ] {
            let place = place(text).unwrap();
            assert_eq!(place.to_string(), text);
            assert_eq!(place.tagged("x-1").unwrap().to_string(), tagged);
        }
        let error = place("registry.example/a").unwrap().tagged("no tag");
        assert!(error.unwrap_err().to_string().contains("no tag"));
    }

    #[test]
    fn what_names_an_image_or_another_place_is_refused() {
        let digest = format!("registry.example/a@sha256:{}", "0".repeat(64));
        for text in ["registry.example/a:x", digest.as_str(), "oci:levels:x"] {
            let error = place(text).unwrap_err().to_string();
            assert!(error.starts_with(text), "{error}");
            assert!(error.contains("has a tag or a digest"), "{error}");
        }
        for text in ["oci-archive:x", "docker-archive:x", "scratch"] {
            let error = place(text).unwrap_err().to_string();
            assert!(error.contains("neither a registry nor"), "{error}");
        }
    }
}
