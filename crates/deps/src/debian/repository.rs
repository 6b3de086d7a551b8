//! A distribution on a mirror: its release, verified, and its indexes.

use std::io::Read as _;

use bytes::Bytes;

use super::keyring::{Keyring, KeyringError};
use super::release::{Release, ReleaseFile};
use crate::fetch::{FetchError, Fetcher};
use crate::hosts::debian::Candidate;
use crate::hosts::{Keys, Mirror};
use crate::lock::LockedFile;
use ohoci_image::timestamp::Timestamp;

/// Largest `InRelease` that is read: ten times that of the largest archive.
const MAX_RELEASE: u64 = 4 << 20;
/// Largest `Packages` that is read, when decompressed: ten times that of the largest archive.
const MAX_PACKAGES: u64 = 1 << 30;
/// Memory that the decompressor may use; what `xz -9` needs, and half as much again.
const XZ_MEMORY: u64 = 96 << 20;

/// A verified distribution.
#[derive(Clone, Debug)]
pub struct Repository {
    suite: String,
    mirror: Mirror,
    release: Release,
    signed_by: String,
}

/// Why a distribution cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RepositoryError {
    /// No mirror has it in a form that counts.
    #[error("no mirror has {suite} in a form that can be trusted: {}", all(.reasons))]
    NoMirror {
        /// The distribution.
        suite: String,
        /// Why not, by mirror.
        reasons: Vec<(String, String)>,
    },
    /// The keys of the recipe cannot be read.
    #[error("{path}: {why}")]
    Keyring {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It has no index for a component and an architecture.
    #[error("{suite} has no {component} for {architecture}")]
    NoIndex {
        /// The distribution.
        suite: String,
        /// The component.
        component: String,
        /// The architecture.
        architecture: String,
    },
    /// An index could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An index is not what the release says.
    #[error("{path} of {suite}: {why}")]
    Index {
        /// The distribution.
        suite: String,
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

fn all(reasons: &[(String, String)]) -> String {
    if reasons.is_empty() {
        return "this machine is set up with none".to_owned();
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(mirror, why)| format!("{mirror}: {why}"))
        .collect();
    reasons.join("; ")
}

impl Repository {
    /// Finds a mirror that has the distribution with a signature that counts, by one of `keys` or
    /// else by one of those that the machine trusts for that mirror. `now` is in seconds since
    /// 1970.
    ///
    /// # Errors
    /// See [`RepositoryError`].
    pub async fn open(
        fetcher: &Fetcher,
        suite: &str,
        candidates: &[Candidate],
        keys: Option<&Keyring>,
        now: i64,
    ) -> Result<Self, RepositoryError> {
        let mut reasons = Vec::new();
        for candidate in candidates {
            let path = format!("dists/{suite}/InRelease");
            let found = fetcher.small(&candidate.mirror, &path, MAX_RELEASE).await;
            let file = match found {
                Ok(file) => file,
                Err(error) => {
                    reasons.push((candidate.mirror.name(), reason(&error)));
                    continue;
                }
            };
            match verify(&file, suite, candidate, keys, now) {
                Ok((release, signed_by)) => {
                    return Ok(Self {
                        suite: suite.to_owned(),
                        mirror: candidate.mirror.clone(),
                        release,
                        signed_by,
                    });
                }
                Err(why) => reasons.push((candidate.mirror.name(), why)),
            }
        }
        Err(RepositoryError::NoMirror {
            suite: suite.to_owned(),
            reasons,
        })
    }

    /// The distribution.
    #[must_use]
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// When it was made.
    #[must_use]
    pub fn date(&self) -> Timestamp {
        Timestamp::from_epoch(self.release.date)
    }

    /// The fingerprint of the key that signed it.
    #[must_use]
    pub fn signed_by(&self) -> &str {
        &self.signed_by
    }

    /// The `Packages` files of a component for an architecture. Taken from the cache when they are
    /// there.
    ///
    /// # Errors
    /// See [`RepositoryError`].
    pub async fn packages(
        &self,
        fetcher: &Fetcher,
        component: &str,
        architecture: &str,
    ) -> Result<Vec<String>, RepositoryError> {
        let mut texts = vec![self.index(fetcher, component, architecture).await?];
        if self.release.separate_all {
            texts.push(self.index(fetcher, component, "all").await?);
        }
        Ok(texts)
    }

    async fn index(
        &self,
        fetcher: &Fetcher,
        component: &str,
        architecture: &str,
    ) -> Result<String, RepositoryError> {
        let base = format!("{component}/binary-{architecture}/Packages");
        let missing = || RepositoryError::NoIndex {
            suite: self.suite.clone(),
            component: component.to_owned(),
            architecture: architecture.to_owned(),
        };
        let plain = self.release.files.get(&base).ok_or_else(missing)?;
        let (name, packed) = [".xz", ".gz", ""]
            .into_iter()
            .find_map(|suffix| {
                let name = format!("{base}{suffix}");
                let file = self.release.files.get(&name)?;
                Some((name, file))
            })
            .ok_or_else(missing)?;
        let bytes = self.download(fetcher, &name, packed).await?;
        let wrong = |why: String| RepositoryError::Index {
            suite: self.suite.clone(),
            path: name.clone(),
            why,
        };
        let (plain, kind) = (plain.clone(), name.clone());
        let text = tokio::task::spawn_blocking(move || unpack(&bytes, &kind, &plain)).await;
        match text {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(why)) => Err(wrong(why)),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    async fn download(
        &self,
        fetcher: &Fetcher,
        name: &str,
        file: &ReleaseFile,
    ) -> Result<Bytes, RepositoryError> {
        let mirrors = std::slice::from_ref(&self.mirror);
        let locked = |path: String| LockedFile {
            path: format!("dists/{}/{path}", self.suite),
            size: file.size,
            digest: file.digest.clone(),
        };
        if file.size > MAX_PACKAGES {
            return Err(RepositoryError::Index {
                suite: self.suite.clone(),
                path: name.to_owned(),
                why: format!("it has {} bytes, which is too many", file.size),
            });
        }
        if self.release.by_hash {
            let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
            let path = format!("{directory}/by-hash/SHA256/{}", file.digest.hex());
            if let Ok(bytes) = fetcher.bytes(&locked(path), mirrors).await {
                return Ok(bytes);
            }
        }
        Ok(fetcher.bytes(&locked(name.to_owned()), mirrors).await?)
    }
}

/// What went wrong at one mirror, which is named beside it.
fn reason(error: &FetchError) -> String {
    let why = error.why();
    match why.split_once(": ") {
        Some((_, words)) => words.to_owned(),
        None => why,
    }
}

fn verify(
    file: &[u8],
    suite: &str,
    candidate: &Candidate,
    keys: Option<&Keyring>,
    now: i64,
) -> Result<(Release, String), String> {
    let text = std::str::from_utf8(file).map_err(|_| "InRelease is no text".to_owned())?;
    let in_release = |why: String| format!("InRelease: {why}");
    let own;
    let keyring = match keys {
        Some(keys) => keys,
        None => {
            own = machine_keys(&candidate.keys)?;
            &own
        }
    };
    let signed = keyring
        .verify(text, now)
        .map_err(|error| in_release(error.to_string()))?;
    let release = Release::parse(&signed.text).map_err(|error| in_release(error.to_string()))?;
    release
        .check(suite, now, candidate.check_valid_until)
        .map_err(|error| in_release(error.to_string()))?;
    Ok((release, signed.key))
}

/// The keys that the machine trusts for a mirror: all that can be read.
fn machine_keys(sources: &[Keys]) -> Result<Keyring, String> {
    let mut keyring = Keyring::default();
    let mut failures = Vec::new();
    for source in sources {
        let bytes = match source {
            Keys::Inline(text) => Ok(text.clone().into_bytes()),
            Keys::File(path) => fs_err::read(path),
        };
        let found = bytes.map_err(|error| error.to_string()).and_then(|bytes| {
            Keyring::parse(&bytes).map_err(|error| match source {
                Keys::File(path) => format!("{}: {error}", path.display()),
                Keys::Inline(_) => format!("the keys in apt's source: {error}"),
            })
        });
        match found {
            Ok(found) => keyring.extend(found),
            Err(why) => failures.push(why),
        }
    }
    if keyring.is_empty() {
        return Err(format!(
            "there are no keys to check its signature with: {}",
            failures.join("; ")
        ));
    }
    Ok(keyring)
}

/// Reads the keys that a recipe names.
///
/// # Errors
/// [`RepositoryError::Keyring`].
pub(crate) fn read_keyring(path: &std::path::Path) -> Result<Keyring, RepositoryError> {
    let fail = |why: String| RepositoryError::Keyring {
        path: path.display().to_string(),
        why,
    };
    let bytes = fs_err::read(path).map_err(|error| fail(error.kind().to_string()))?;
    Keyring::parse(&bytes).map_err(|error: KeyringError| fail(error.to_string()))
}

/// Decompresses an index, and checks that it is what the release says.
fn unpack(packed: &[u8], name: &str, plain: &ReleaseFile) -> Result<String, String> {
    if plain.size > MAX_PACKAGES {
        return Err(format!("it has {} bytes, which is too many", plain.size));
    }
    let reader: Box<dyn std::io::Read> = if name.ends_with(".xz") {
        let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, 0)
            .map_err(|error| error.to_string())?;
        Box::new(liblzma::read::XzDecoder::new_stream(packed, stream))
    } else if name.ends_with(".gz") {
        Box::new(flate2::read::MultiGzDecoder::new(packed))
    } else {
        Box::new(packed)
    };
    let mut text = Vec::new();
    reader
        .take(plain.size.saturating_add(1))
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 != plain.size || !plain.digest.matches(&text) {
        return Err("its content is not what the release says".to_owned());
    }
    String::from_utf8(text).map_err(|_| "it is no UTF-8 text".to_owned())
}
