//! Where the shards of a channel's directory are.

use std::path::PathBuf;

use super::channels::Location;
use crate::hosts::Mirror;
use crate::lock::file::is_relative;
use ohoci_conda::shards::ShardIndex;
use url::Url;

/// Where shards are: a place of the channel, and the directory below that.
#[derive(Clone, Debug)]
pub(super) enum ShardPlace {
    /// A directory of this machine.
    Directory(PathBuf, String),
    /// A server.
    Mirror(Mirror, String),
}

impl ShardPlace {
    /// Where an index says that its shards are. `None` where they, or the packages, are outside of the channel:
    /// an index leads to no other server, and out of no directory.
    pub(super) fn of(index: &ShardIndex, place: &Location, subdir: &str) -> Option<Self> {
        let root: Url = match place {
            Location::Mirror(mirror) => mirror.base.clone(),
            // Only what it is joined to counts. URLs of files would have no origin that is the same twice.
            Location::Directory(_) => Url::parse("http://directory/channel/").ok()?,
        };
        let here = root.join(&format!("{subdir}/")).ok()?;
        let below = |text: &str| {
            let text = match text {
                "" => "./".to_owned(),
                _ => format!("{}/", text.trim_end_matches('/')),
            };
            let url = here.join(&text).ok()?;
            let is_plain = url.query().is_none() && url.fragment().is_none();
            let is_same = url.origin() == root.origin() && url.username().is_empty() && is_plain;
            let path = url.path().strip_prefix(root.path())?;
            let path = path.trim_end_matches('/').to_owned();
            (is_same && is_relative(&path)).then_some(path)
        };
        if below(index.base_url())? != subdir {
            return None;
        }
        let shards = below(index.shards_base_url())?;
        Some(match place {
            Location::Directory(directory) => Self::Directory(directory.clone(), shards),
            Location::Mirror(mirror) => Self::Mirror(mirror.clone(), shards),
        })
    }

    /// The path of the shard with that digest, below the channel's root.
    pub(super) fn path(&self, hex: &str) -> String {
        let (Self::Directory(_, shards) | Self::Mirror(_, shards)) = self;
        format!("{shards}/{hex}.msgpack.zst")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_below_their_channel() {
        let mirror = Mirror::new("https://mirror.example/conda/forge/".parse().unwrap());
        let server = Location::Mirror(mirror);
        let directory = Location::Directory(PathBuf::from("/srv/channel"));
        let path = |place: &Location, packages: &str, shards: &str| {
            let index = ShardIndex::at(packages, shards);
            ShardPlace::of(&index, place, "linux-64").map(|place| place.path("ab"))
        };
        for (packages, shards, expected) in [
            ("", "./shards/", "linux-64/shards/ab.msgpack.zst"),
            ("./", "", "linux-64/ab.msgpack.zst"),
            (".", "../shards", "shards/ab.msgpack.zst"),
        ] {
            for place in [&server, &directory] {
                assert_eq!(
                    path(place, packages, shards).as_deref(),
                    Some(expected),
                    "{shards}"
                );
            }
        }
        let same = "https://mirror.example/conda/forge/linux-64/s";
        assert_eq!(
            path(&server, "", same).as_deref(),
            Some("linux-64/s/ab.msgpack.zst")
        );
        for (packages, shards) in [
            ("", "https://other.example/shards/"),
            ("", "../../../etc"),
            ("", "shards/?x=y"),
            ("", "%2e%2e/%2e%2e/x"),
            ("https://other.example/", "./"),
            ("../noarch", "./"),
        ] {
            for place in [&server, &directory] {
                assert_eq!(path(place, packages, shards), None, "{packages} {shards}");
            }
        }
    }
}
