//! What a channel lists for a platform in many small files, one for each name: `repodata_shards.msgpack` (conda's
//! CEP 16).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use crate::listed::{Listed, RepodataError, chosen, listed};
use crate::record::{Record, stem_of};

/// Which shards a channel has for a platform. What this says is known by its digest.
#[derive(Clone, Debug, Default)]
pub struct ShardIndex {
    base_url: String,
    shards_base_url: String,
    shards: BTreeMap<String, [u8; 32]>,
}

#[derive(Deserialize)]
struct IndexDocument {
    info: Info,
    shards: BTreeMap<String, Bytes>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    base_url: String,
    #[serde(default)]
    shards_base_url: String,
    #[serde(default)]
    subdir: String,
}

/// A digest.
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digest;

        impl Visitor<'_> for Digest {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a digest")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Digest)
    }
}

#[derive(Deserialize)]
struct ShardDocument {
    #[serde(default)]
    packages: BTreeMap<String, Record>,
    #[serde(default, rename = "packages.conda")]
    conda_packages: BTreeMap<String, Record>,
}

impl ShardIndex {
    /// Reads the list of the shards of a directory of a channel, decompressed.
    ///
    /// # Errors
    /// When it is none, or that of another directory.
    pub fn read(content: &[u8], subdir: &str) -> Result<Self, RepodataError> {
        let document: IndexDocument = rmp_serde::from_slice(content)
            .map_err(|error| RepodataError::new(error.to_string()))?;
        let of = &document.info.subdir;
        if !of.is_empty() && of != subdir {
            return Err(RepodataError::new(format!("it is that of {of}")));
        }
        let shards = document.shards.into_iter().map(|(name, Bytes(digest))| {
            let digest: [u8; 32] = digest.try_into().map_err(|_| {
                RepodataError::new(format!("the digest of {name} has not 32 bytes"))
            })?;
            Ok((name, digest))
        });
        Ok(Self {
            base_url: document.info.base_url,
            shards_base_url: document.info.shards_base_url,
            shards: shards.collect::<Result<_, RepodataError>>()?,
        })
    }

    /// An index without shards, which says that files and shards are there.
    #[must_use]
    pub fn at(base_url: &str, shards_base_url: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            shards_base_url: shards_base_url.to_owned(),
            shards: BTreeMap::new(),
        }
    }

    /// What packages' files are below: a URL, which may be relative to the index.
    #[must_use]
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What shards are below: a URL, which may be relative to the index.
    #[must_use]
    pub fn shards_base_url(&self) -> &str {
        &self.shards_base_url
    }

    /// The SHA-256 digest of the shard of a name, as it is compressed; `None` where the directory has no package of
    /// that name. Its file is named after it: `DIGEST.msgpack.zst`.
    #[must_use]
    pub fn shard(&self, name: &str) -> Option<String> {
        self.shards.get(name).map(hex::encode)
    }
}

/// The packages of a shard, decompressed, of the channel `channel` and its directory `subdir`, whose file names,
/// without ending, `wanted` takes.
///
/// # Errors
/// When it is no shard.
pub fn read_shard(
    content: &[u8],
    channel: &str,
    subdir: &str,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Listed>, RepodataError> {
    let document: ShardDocument =
        rmp_serde::from_slice(content).map_err(|error| RepodataError::new(error.to_string()))?;
    let all = document.packages.iter().chain(&document.conda_packages);
    let all = all.filter_map(|(file_name, record)| {
        let (stem, rank) = stem_of(file_name)?;
        wanted(stem).then_some((stem, rank, (file_name, record)))
    });
    let chosen = chosen(all).into_iter().map(|(stem, (file_name, record))| {
        listed(stem, file_name, Ok(record.clone()), channel, subdir)
    });
    Ok(chosen.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MessagePack of maps, texts and bytes, as `msgpack.packb` of Python writes them.
    fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![0x80 | u8::try_from(entries.len()).unwrap()];
        for (key, value) in entries {
            bytes.extend(text(key));
            bytes.extend(value);
        }
        bytes
    }

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = vec![0xd9, u8::try_from(text.len()).unwrap()];
        bytes.extend(text.as_bytes());
        bytes
    }

    fn octets(octets: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xc4, u8::try_from(octets.len()).unwrap()];
        bytes.extend(octets);
        bytes
    }

    #[test]
    fn the_index_says_where_shards_are_and_what_they_hash_to() {
        let info = map(&[
            ("base_url", text("")),
            ("shards_base_url", text("./shards/")),
            ("subdir", text("linux-64")),
        ]);
        let index = |digest: &[u8]| {
            let shards = map(&[("zlib", octets(digest))]);
            map(&[
                ("version", vec![1]),
                ("info", info.clone()),
                ("shards", shards),
            ])
        };
        let found = ShardIndex::read(&index(&[0xab; 32]), "linux-64").unwrap();
        assert_eq!(found.shard("zlib"), Some("ab".repeat(32)));
        assert_eq!(found.shard("other"), None);
        assert_eq!(
            (found.base_url(), found.shards_base_url()),
            ("", "./shards/")
        );
        let other = ShardIndex::read(&index(&[0xab; 32]), "noarch").unwrap_err();
        assert!(
            other.to_string().ends_with("it is that of linux-64"),
            "{other}"
        );
        assert!(ShardIndex::read(&index(&[0xab; 31]), "linux-64").is_err());
        for content in [&b""[..], b"{}", b"\x81", b"\xdf\xff\xff\xff\xff"] {
            assert!(ShardIndex::read(content, "linux-64").is_err());
        }
    }

    #[test]
    fn digests_of_packages_are_bytes() {
        let record = map(&[
            ("name", text("zlib")),
            ("version", text("1.3")),
            ("build", text("0")),
            ("sha256", octets(&[0xab; 32])),
            ("md5", octets(&[0x01; 16])),
            ("noarch", vec![0xc0]),
            ("timestamp", vec![0xce, 0, 0, 1, 0]),
        ]);
        let shard = map(&[
            ("packages", map(&[("zlib-1.3-0.tar.bz2", record.clone())])),
            ("packages.conda", map(&[("zlib-1.3-0.conda", record)])),
            ("removed", vec![0x90]),
        ]);
        let found = read_shard(&shard, "c", "linux-64", &|_| true).unwrap();
        assert_eq!(found.len(), 1);
        let package = found[0].package.as_ref().unwrap();
        assert_eq!(package.path(), "linux-64/zlib-1.3-0.conda");
        assert_eq!(package.record.sha256, Some("ab".repeat(32)));
        assert_eq!(package.record.md5, Some("01".repeat(16)));
        assert_eq!(package.record.timestamp, Some(256));
        assert!(
            read_shard(&shard, "c", "linux-64", &|_| false)
                .unwrap()
                .is_empty()
        );
        assert!(read_shard(b"\x81\xa1", "c", "linux-64", &|_| true).is_err());
    }
}
