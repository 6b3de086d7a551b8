//! What is noted of a layer beside its files.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use ohoci_layer::LayerPath;
use serde::{Deserialize, Serialize};

/// The file with the [`Record`].
const RECORD: &str = "layer.json";

/// The file with the directories that the layer only implies, each with a zero byte behind it.
const IMPLIED: &str = "implied";

/// The file with the hard links that lead to other layers: paths and targets in turn.
const LINKS: &str = "links";

/// What is noted of a layer that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// How it was unpacked: what another version of ohoci does otherwise has another number.
    pub(crate) version: u32,
    /// Bytes that it takes on the disk, in whole blocks.
    pub(crate) bytes: u64,
    /// Files, directories, links and whiteouts.
    pub(crate) entries: u64,
    /// The permissions of the root directory, where the layer says them.
    pub(crate) root_mode: Option<u32>,
}

/// The number of this way of unpacking.
pub(crate) const VERSION: u32 = 2;

/// What of a layer depends on those that it stands on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dependent {
    /// Directories that it has no entry for, and puts something into.
    pub(crate) implied: Vec<LayerPath>,
    /// Hard links, and what they lead to.
    pub(crate) links: Vec<(LayerPath, LayerPath)>,
}

impl Record {
    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        fs_err::write(directory.join(RECORD), serde_json::to_vec(self)?)
    }

    /// The record of what lies in a directory; `None` where it is of another version or damaged.
    pub(crate) fn read(directory: &Path) -> io::Result<Option<Self>> {
        let content = match fs_err::read(directory.join(RECORD)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            content => content?,
        };
        let record: Option<Self> = serde_json::from_slice(&content).ok();
        Ok(record.filter(|record| record.version == VERSION))
    }
}

impl Dependent {
    pub(crate) fn is_empty(&self) -> bool {
        self.implied.is_empty() && self.links.is_empty()
    }

    pub(crate) fn write(&self, directory: &Path) -> io::Result<()> {
        let links = self.links.iter().flat_map(|(path, target)| [path, target]);
        for (name, paths) in [
            (IMPLIED, self.implied.iter().collect::<Vec<_>>()),
            (LINKS, links.collect()),
        ] {
            if paths.is_empty() {
                continue;
            }
            let mut content = Vec::new();
            for path in paths {
                content.extend_from_slice(path.as_bytes());
                content.push(0);
            }
            fs_err::write(directory.join(name), content)?;
        }
        Ok(())
    }

    pub(crate) fn read(directory: &Path) -> io::Result<Self> {
        let mut links = read_paths(&directory.join(LINKS))?.into_iter();
        let mut pairs = Vec::new();
        while let (Some(path), Some(target)) = (links.next(), links.next()) {
            pairs.push((path, target));
        }
        Ok(Self {
            implied: read_paths(&directory.join(IMPLIED))?,
            links: pairs,
        })
    }
}

fn read_paths(file: &Path) -> io::Result<Vec<LayerPath>> {
    let content = match fs_err::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        content => content?,
    };
    let mut paths: Vec<&[u8]> = content.split(|byte| *byte == 0).collect();
    // Behind the last zero nothing is left.
    paths.pop();
    paths
        .into_iter()
        .map(|path| {
            LayerPath::parse(path)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        })
        .collect()
}

/// A layer's path as one of this machine.
pub(crate) fn as_path(path: &LayerPath) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were_written() {
        let scratch = tempfile::tempdir().unwrap();
        let record = Record {
            version: VERSION,
            bytes: 4096,
            entries: 2,
            root_mode: Some(0o700),
        };
        record.write(scratch.path()).unwrap();
        assert_eq!(Record::read(scratch.path()).unwrap(), Some(record.clone()));
        let path = |raw: &[u8]| LayerPath::parse(raw).unwrap();
        let dependent = Dependent {
            implied: vec![path(b"a"), path(b"a/\xff\n")],
            links: vec![(path(b"b"), path(b"c/d"))],
        };
        dependent.write(scratch.path()).unwrap();
        assert_eq!(Dependent::read(scratch.path()).unwrap(), dependent);

        let newer = Record {
            version: VERSION + 1,
            ..record
        };
        newer.write(scratch.path()).unwrap();
        assert_eq!(Record::read(scratch.path()).unwrap(), None);
    }
}
