//! References: what a person types to name an image.
//!
//! The grammar of registry references is distribution's (`reference/regexp.go`), with Docker's
//! short-name rules; the transports are those of skopeo and podman.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::digest::Digest;

/// Docker Hub, as it stands in references.
pub const DOCKER_HUB: &str = "docker.io";

const MAX_NAME: usize = 255;

/// Transports that ohoci has beside `docker://`.
const TRANSPORTS: [&str; 3] = ["oci", "oci-archive", "docker-archive"];

/// Transports of skopeo and podman that ohoci lacks.
const FOREIGN_TRANSPORTS: [&str; 6] = [
    "dir",
    "docker-daemon",
    "containers-storage",
    "ostree",
    "sif",
    "tarball",
];

fn is_transport(scheme: &str) -> bool {
    TRANSPORTS.contains(&scheme) || FOREIGN_TRANSPORTS.contains(&scheme)
}

/// Names an image, wherever it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// In a registry.
    Registry(RegistryReference),
    /// In an OCI layout: `oci:DIR[:TAG]`.
    Layout {
        /// The layout's directory.
        path: PathBuf,
        /// The name in its index; without one the layout must hold exactly one image.
        tag: Option<String>,
    },
    /// In a tar of an OCI layout: `oci-archive:FILE[:TAG]`.
    OciArchive {
        /// The tar.
        path: PathBuf,
        /// The name in its index.
        tag: Option<String>,
    },
    /// In what `docker save` writes: `docker-archive:FILE[:NAME]`.
    DockerArchive {
        /// The tar.
        path: PathBuf,
        /// The name in its `manifest.json`, such as `debian:12`.
        name: Option<String>,
    },
    /// The empty image.
    Scratch,
}

/// An image in a registry: `host[:port]/repository[:tag][@digest]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryReference {
    host: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// What selects a manifest inside a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pointer {
    /// A tag, which may move.
    Tag(String),
    /// A digest, which cannot.
    Digest(Digest),
}

/// Why a string is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid reference {text:?}: {reason}")]
pub struct ReferenceError {
    text: String,
    reason: String,
}

impl ReferenceError {
    fn new(text: &str, reason: impl Into<String>) -> Self {
        Self {
            text: text.chars().take(300).collect(),
            reason: reason.into(),
        }
    }
}

impl RegistryReference {
    /// Puts a reference together from parts that are checked.
    ///
    /// # Errors
    /// When the host, the repository or the tag does not follow the grammar.
    pub fn new(
        host: &str,
        repository: &str,
        tag: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Self, ReferenceError> {
        let whole = format!("{host}/{repository}");
        if !is_host(host) {
            return Err(ReferenceError::new(
                &whole,
                format!("{host:?} is no host name"),
            ));
        }
        check_repository(&whole, repository)?;
        if host.len() + 1 + repository.len() > MAX_NAME {
            return Err(ReferenceError::new(
                &whole,
                format!("the name is longer than {MAX_NAME} characters"),
            ));
        }
        if let Some(tag) = tag
            && !is_tag(tag)
        {
            return Err(ReferenceError::new(&whole, tag_reason(tag)));
        }
        Ok(Self {
            host: host.to_owned(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The registry's host and port; `docker.io` for Docker Hub.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's name inside the registry.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag as written; `None` when there was none.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest as written.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for: the digest if there is one, else the tag, else `latest`.
    #[must_use]
    pub fn pointer(&self) -> Pointer {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Pointer::Digest(digest.clone()),
            (None, Some(tag)) => Pointer::Tag(tag.clone()),
            (None, None) => Pointer::Tag("latest".to_owned()),
        }
    }

    /// `host/repository`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The same repository at a digest, without a tag.
    #[must_use]
    pub fn at(&self, digest: &Digest) -> Self {
        Self {
            host: self.host.clone(),
            repository: self.repository.clone(),
            tag: None,
            digest: Some(digest.clone()),
        }
    }
}

impl fmt::Display for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        match (&self.tag, &self.digest) {
            (None, None) => write!(f, ":latest"),
            (tag, digest) => {
                if let Some(tag) = tag {
                    write!(f, ":{tag}")?;
                }
                if let Some(digest) = digest {
                    write!(f, "@{digest}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for RegistryReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl FromStr for RegistryReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason: String| ReferenceError::new(text, reason);
        if text.is_empty() {
            return Err(fail("it is empty".to_owned()));
        }
        if let Some(scheme) = ["https://", "http://"]
            .iter()
            .find(|s| text.starts_with(**s))
        {
            return Err(fail(format!(
                "leave out {scheme}; a reference is host/repository:tag"
            )));
        }
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(fail(
                "64 hexadecimal digits are an image ID, not a repository".to_owned(),
            ));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(digest.parse().map_err(|error| fail(format!("{error}")))?),
            ),
            None => (text, None),
        };
        // A colon behind the last slash separates the tag; any other belongs to the port.
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest.get(slash..).and_then(|last| last.find(':')) {
            Some(colon) => {
                let (name, tag) = rest.split_at(slash + colon);
                (name, tag.get(1..))
            }
            None => (rest, None),
        };
        let (host, path) = match name.split_once('/') {
            Some((first, path))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.bytes().any(|b| b.is_ascii_uppercase()) =>
            {
                (first, path)
            }
            _ => (DOCKER_HUB, name),
        };
        let host = match host {
            "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
            other => other,
        };
        let official;
        let repository = if host == DOCKER_HUB && !path.contains('/') {
            official = format!("library/{path}");
            if path.is_empty() {
                return Err(fail("the repository is empty".to_owned()));
            }
            official.as_str()
        } else {
            path
        };
        Self::new(host, repository, tag, digest).map_err(|error| fail(error.reason))
    }
}

impl Reference {
    /// Whether only OCI's manifests may lie there: readers of layouts take no others.
    #[must_use]
    pub fn holds_only_oci(&self) -> bool {
        matches!(self, Self::Layout { .. } | Self::OciArchive { .. })
    }

    /// The registry reference, when it is one.
    #[must_use]
    pub fn registry(&self) -> Option<&RegistryReference> {
        match self {
            Self::Registry(reference) => Some(reference),
            _ => None,
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path, tag) = match self {
            Self::Registry(reference) => {
                // Without it, a host called `oci` with a port would be read as a transport.
                if is_transport(reference.host().split(':').next().unwrap_or_default()) {
                    f.write_str("docker://")?;
                }
                return fmt::Display::fmt(reference, f);
            }
            Self::Scratch => return f.write_str("scratch"),
            Self::Layout { path, tag } => ("oci", path, tag),
            Self::OciArchive { path, tag } => ("oci-archive", path, tag),
            Self::DockerArchive { path, name } => ("docker-archive", path, name),
        };
        write!(f, "{scheme}:{}", path.display())?;
        if let Some(tag) = tag {
            write!(f, ":{tag}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "scratch" {
            return Ok(Self::Scratch);
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            return rest.parse().map(Self::Registry);
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return text.parse().map(Self::Registry);
        };
        if !TRANSPORTS.contains(&scheme) {
            if is_transport(scheme) {
                return Err(ReferenceError::new(
                    text,
                    format!(
                        "ohoci has no {scheme}: transport; there are docker://, oci:, oci-archive:, docker-archive: and scratch"
                    ),
                ));
            }
            return text.parse().map(Self::Registry);
        }
        // skopeo splits at the first colon; a path with a colon in it cannot be written there
        // either.
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(ReferenceError::new(
                text,
                format!("expected {scheme}:PATH or {scheme}:PATH:TAG"),
            ));
        }
        if tag.is_some_and(str::is_empty) {
            return Err(ReferenceError::new(
                text,
                "the tag behind the colon is empty",
            ));
        }
        let path = PathBuf::from(path);
        let tag = tag.map(str::to_owned);
        Ok(match scheme {
            "oci" => Self::Layout { path, tag },
            "oci-archive" => Self::OciArchive { path, tag },
            _ => Self::DockerArchive { path, name: tag },
        })
    }
}

/// Whether a tag is legal: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
#[must_use]
pub fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && tag.len() <= 128
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn tag_reason(tag: &str) -> String {
    if tag.is_empty() {
        "the tag behind the colon is empty".to_owned()
    } else if tag.len() > 128 {
        "the tag is longer than 128 characters".to_owned()
    } else {
        format!("{tag:?} is no tag: letters, digits and . _ - only, not starting with . or -")
    }
}

/// Whether this is a host with an optional port, an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        // Distribution's grammar has no dotted form such as `::192.0.2.33`.
        if address.contains('.') || address.parse::<std::net::Ipv6Addr>().is_err() {
            return false;
        }
        match port.strip_prefix(':') {
            Some(port) => return is_port(port),
            None => return port.is_empty(),
        }
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok()
}

/// `component(/component)*` with components `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn check_repository(whole: &str, repository: &str) -> Result<(), ReferenceError> {
    let fail = |reason: String| Err(ReferenceError::new(whole, reason));
    if repository.is_empty() {
        return fail("the repository is empty".to_owned());
    }
    for component in repository.split('/') {
        if component.is_empty() {
            return fail("two slashes follow each other, or one stands at the end".to_owned());
        }
        if component.bytes().any(|b| b.is_ascii_uppercase()) {
            return fail(format!(
                "repository names are lower case, and {component:?} is not"
            ));
        }
        if !is_component(component) {
            return fail(format!(
                "{component:?} is no repository component: lower-case letters and digits, \
                 separated by one of . _ __ or dashes"
            ));
        }
    }
    Ok(())
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let mut at = 0;
    loop {
        let start = at;
        while bytes.get(at).copied().is_some_and(alphanumeric) {
            at += 1;
        }
        if at == start {
            return false;
        }
        match bytes.get(at..) {
            None | Some([]) => return true,
            Some([b'_', b'_', ..]) => at += 2,
            Some([b'.' | b'_', ..]) => at += 1,
            Some([b'-', ..]) => {
                while bytes.get(at) == Some(&b'-') {
                    at += 1;
                }
            }
            Some(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests;
