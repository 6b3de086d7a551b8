//! Where the image of an instance is, by upstream's names.

use std::path::PathBuf;
use std::str::FromStr;

use ohoci_image::{Reference, RegistryReference};
use ohoci_swebench::names::{self, Architecture};
use ohoci_swebench::row::Row;

/// Upstream's namespace on Docker Hub.
pub(crate) const NAMESPACE: &str = "swebench";

/// Where images are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// In a registry, each in a repository of its own.
    #[default]
    Registry,
    /// All in one OCI layout: `oci:DIR`.
    Layout(PathBuf),
    /// All in one tar of a layout: `oci-archive:FILE`.
    OciArchive(PathBuf),
    /// All in what `docker save` writes: `docker-archive:FILE`.
    DockerArchive(PathBuf),
    /// Unpacked, each in a folder of its own: `dir:DIR`.
    Directory(PathBuf),
}

/// Why text names no place of images.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no place of images; write oci:DIR, oci-archive:FILE, docker-archive:FILE or dir:DIR"
)]
pub struct ImagesError(String);

impl FromStr for Images {
    type Err = ImagesError;

    fn from_str(text: &str) -> Result<Self, ImagesError> {
        let fail = || ImagesError(text.to_owned());
        let (kind, path) = text.split_once(':').ok_or_else(fail)?;
        if path.is_empty() {
            return Err(fail());
        }
        let path = PathBuf::from(path);
        Ok(match kind {
            "oci" => Self::Layout(path),
            "oci-archive" => Self::OciArchive(path),
            "docker-archive" => Self::DockerArchive(path),
            "dir" => Self::Directory(path),
            _ => return Err(fail()),
        })
    }
}

/// How images are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageNames {
    /// `None` by default: then the row's own name counts, or upstream's namespace. Inside,
    /// `None` for images of this machine, which have no namespace.
    pub namespace: Option<Option<String>>,
    /// The tag.
    pub tag: String,
    /// The registry's host, perhaps with a path, which stands before each name.
    pub registry: Option<String>,
    /// Where they are.
    pub images: Images,
}

/// One way to find an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidate {
    /// An image.
    Reference(Reference),
    /// A root file system.
    Directory(PathBuf),
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Directory(path) => write!(f, "dir:{}", path.display()),
        }
    }
}

/// Why an instance's image cannot even be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// Images without a namespace are in no registry.
    #[error(
        "images without a namespace are those of a machine, not of a registry: say where they are with --images or --registry"
    )]
    NoPlace,
    /// The name is none.
    #[error("{0}")]
    Reference(String),
}

impl ImageNames {
    /// Where the image of an instance may be, most likely first. This is the one place that knows.
    ///
    /// # Errors
    /// When no such place can be named.
    pub fn candidates(&self, row: &Row) -> Result<Vec<Candidate>, NamesError> {
        let names = self.names(row);
        let by = |place: fn(PathBuf, String) -> Reference, path: &PathBuf| {
            let reference = |name: &String| Candidate::Reference(place(path.clone(), name.clone()));
            Ok(names.iter().map(reference).collect())
        };
        match &self.images {
            Images::Registry => {
                let name = names.first().map(String::as_str).unwrap_or_default();
                let reference = match &self.registry {
                    Some(registry) => format!("{}/{name}", registry.trim_end_matches('/')),
                    None if !name.contains('/') => return Err(NamesError::NoPlace),
                    None => name.to_owned(),
                };
                let reference: RegistryReference = reference
                    .parse()
                    .map_err(|error| NamesError::Reference(format!("{error}")))?;
                Ok(vec![Candidate::Reference(Reference::Registry(reference))])
            }
            Images::Layout(path) => by(
                |path, name| Reference::Layout {
                    path,
                    tag: Some(name),
                },
                path,
            ),
            Images::OciArchive(path) => by(
                |path, name| Reference::OciArchive {
                    path,
                    tag: Some(name),
                },
                path,
            ),
            Images::DockerArchive(path) => by(
                |path, name| Reference::DockerArchive {
                    path,
                    name: Some(name),
                },
                path,
            ),
            Images::Directory(path) => Ok(names
                .iter()
                .map(|name| {
                    let folder = names::log_directory(name).replace('/', "__");
                    Candidate::Directory(path.join(folder))
                })
                .collect()),
        }
    }

    /// The image's names. Places of this machine may know it by any of them.
    fn names(&self, row: &Row) -> Vec<String> {
        let architecture = match std::env::consts::ARCH {
            "aarch64" => Architecture::Arm64,
            _ => Architecture::X86_64,
        };
        let named = |namespace: Option<&str>| {
            names::instance_image(namespace, architecture, &row.instance_id, &self.tag)
        };
        let first = match (&self.namespace, &row.image) {
            (Some(namespace), _) => named(namespace.as_deref()),
            (None, Some(image)) => image.clone(),
            (None, None) => named(Some(NAMESPACE)),
        };
        let first_name = first.clone();
        let mut all = vec![first];
        let mut add = |name: String| {
            if !all.contains(&name) {
                all.push(name);
            }
        };
        // An image that the row names is that one: others are the same only where nothing but their
        // namespace differs.
        let is_given = self.namespace.is_none() && row.image.is_some();
        let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
        let bare = last(&first_name).replace("_1776_", "__");
        for name in [named(Some(NAMESPACE)), named(None)] {
            if !is_given || last(&name).replace("_1776_", "__") == bare {
                add(name);
            }
        }
        for name in all.clone() {
            all.push(format!("docker.io/{name}"));
            if let Some(bare) = name.strip_suffix(&format!(":{}", self.tag)) {
                all.push(bare.to_owned());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image: Option<&str>) -> Row {
        let mut row =
            Row::from_json(br#"[{"instance_id":"pallets__flask-1","repo":"pallets/flask"}]"#)
                .unwrap()
                .remove(0);
        row.image = image.map(str::to_owned);
        row
    }

    fn names(
        namespace: Option<Option<&str>>,
        registry: Option<&str>,
        images: Images,
    ) -> ImageNames {
        ImageNames {
            namespace: namespace.map(|namespace| namespace.map(str::to_owned)),
            tag: "latest".to_owned(),
            registry: registry.map(str::to_owned),
            images,
        }
    }

    fn first(names: &ImageNames, image: Option<&str>) -> String {
        names.candidates(&row(image)).unwrap()[0].to_string()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn images_are_found_under_upstreams_names() {
        let none = names(None, None, Images::Registry);
        assert_eq!(
            first(&none, None),
            "docker.io/swebench/sweb.eval.x86_64.pallets_1776_flask-1:latest"
        );
        assert_eq!(first(&none, Some("a/b:c")), "docker.io/a/b:c");
        let own = names(
            Some(Some("mine")),
            Some("registry.example/x/"),
            Images::Registry,
        );
        assert_eq!(
            first(&own, Some("a/b:c")),
            "registry.example/x/mine/sweb.eval.x86_64.pallets_1776_flask-1:latest"
        );
        let local = names(Some(None), None, Images::Registry);
        assert_eq!(local.candidates(&row(None)), Err(NamesError::NoPlace));
        let layout = names(Some(None), None, "oci:images".parse().unwrap());
        let all: Vec<String> = layout
            .candidates(&row(None))
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            all[0],
            "oci:images:sweb.eval.x86_64.pallets__flask-1:latest"
        );
        assert_eq!(
            all[1],
            "oci:images:swebench/sweb.eval.x86_64.pallets_1776_flask-1:latest"
        );
        let folders = names(None, None, "dir:roots".parse().unwrap());
        assert_eq!(
            first(&folders, None),
            "dir:roots/swebench__sweb.eval.x86_64.pallets_1776_flask-1__latest"
        );
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn an_image_that_a_row_names_is_replaced_by_no_other() {
        let layout = names(None, None, "oci:images".parse().unwrap());
        let all = |image| -> Vec<String> {
            let candidates = layout.candidates(&row(Some(image))).unwrap();
            candidates.iter().map(ToString::to_string).collect()
        };
        assert_eq!(
            all("mine/flask:2"),
            [
                "oci:images:mine/flask:2",
                "oci:images:docker.io/mine/flask:2"
            ]
        );
        let own = "swebench/sweb.eval.x86_64.pallets_1776_flask-1:latest";
        let bare = "oci:images:sweb.eval.x86_64.pallets__flask-1:latest";
        assert!(all(own).contains(&bare.to_owned()));
    }

    #[test]
    fn places_are_read() {
        assert_eq!("oci:a:b".parse(), Ok(Images::Layout("a:b".into())));
        for wrong in ["", "oci:", "docker://x", "layout"] {
            assert!(wrong.parse::<Images>().is_err(), "{wrong}");
        }
    }
}
