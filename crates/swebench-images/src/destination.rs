//! Where finished images go, under their names.

use std::path::PathBuf;
use std::str::FromStr;

use ohoci_image::Reference;
use ohoci_image::reference::ReferenceError;
use ohoci_swebench::names;

/// Where images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A registry's host, perhaps with a path, which stands before each name.
    Registry(String),
    /// `oci:DIR`, with names as tags.
    Layout(PathBuf),
    /// `oci-archive:FILE`, likewise.
    OciArchive(PathBuf),
    /// `docker-archive:FILE`.
    DockerArchive(PathBuf),
    /// `dir:DIR`: a root directory for each.
    Directory(PathBuf),
}

/// Why text names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: the path is missing")]
pub struct DestinationError(String);

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        for (scheme, make) in [
            ("oci:", Self::Layout as fn(PathBuf) -> Self),
            ("oci-archive:", Self::OciArchive),
            ("docker-archive:", Self::DockerArchive),
            ("dir:", Self::Directory),
        ] {
            match text.strip_prefix(scheme) {
                Some("") => return Err(DestinationError(text.to_owned())),
                Some(path) => return Ok(make(path.into())),
                None => {}
            }
        }
        let registry = text.strip_prefix("docker://").unwrap_or(text);
        Ok(Self::Registry(registry.trim_end_matches('/').to_owned()))
    }
}

impl Destination {
    /// The reference of an image there; `None` where images are directories.
    pub(crate) fn reference(&self, name: &str) -> Result<Option<Reference>, ReferenceError> {
        let tag = Some(name.to_owned());
        Ok(Some(match self {
            Self::Registry(registry) => format!("docker://{registry}/{name}").parse()?,
            Self::Layout(path) => Reference::Layout {
                path: path.clone(),
                tag,
            },
            Self::OciArchive(path) => Reference::OciArchive {
                path: path.clone(),
                tag,
            },
            Self::DockerArchive(path) => Reference::DockerArchive {
                path: path.clone(),
                name: tag,
            },
            Self::Directory(_) => return Ok(None),
        }))
    }

    /// Whether signatures can stand beside its images.
    #[must_use]
    pub fn holds_signatures(&self) -> bool {
        matches!(self, Self::Registry(_) | Self::Layout(_))
    }

    /// Whether it is one file, which is written anew by whoever adds to it.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        self.archive().is_some()
    }

    /// The file, if it is one.
    pub(crate) fn archive(&self) -> Option<Reference> {
        match self {
            Self::OciArchive(path) => Some(Reference::OciArchive {
                path: path.clone(),
                tag: None,
            }),
            Self::DockerArchive(path) => Some(Reference::DockerArchive {
                path: path.clone(),
                name: None,
            }),
            Self::Registry(_) | Self::Layout(_) | Self::Directory(_) => None,
        }
    }

    /// The root directory of an image; `None` where images are images.
    pub(crate) fn directory(&self, name: &str) -> Option<PathBuf> {
        match self {
            Self::Directory(path) => Some(path.join(names::log_directory(name).replace('/', "__"))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_their_names_everywhere() {
        let name = "swebench/sweb.eval.x86_64.a_1776_b-1:latest";
        for (place, expected) in [
            (
                "registry.example/mirror/",
                "registry.example/mirror/swebench/sweb.eval.x86_64.a_1776_b-1:latest",
            ),
            (
                "oci:images",
                "oci:images:swebench/sweb.eval.x86_64.a_1776_b-1:latest",
            ),
            (
                "docker-archive:x.tar",
                "docker-archive:x.tar:swebench/sweb.eval.x86_64.a_1776_b-1:latest",
            ),
        ] {
            let reference = place
                .parse::<Destination>()
                .unwrap()
                .reference(name)
                .unwrap()
                .unwrap();
            assert_eq!(reference.to_string(), expected);
        }
        let directory = "dir:roots"
            .parse::<Destination>()
            .unwrap()
            .directory(name)
            .unwrap();
        assert_eq!(
            directory,
            PathBuf::from("roots/swebench__sweb.eval.x86_64.a_1776_b-1__latest")
        );
        assert!("oci:".parse::<Destination>().is_err());
    }
}
