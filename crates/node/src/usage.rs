//! What is kept, and what room it takes.

use std::io;
use std::time::SystemTime;

use ohoci_image::Digest;

use super::lock::Hold;
use super::record::Record;
use super::store::{Kind, LayerStore};

/// A layer that is kept, or what else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLayer {
    /// Its diff ID; of what a layer needs over those that it stands on, the chain ID; of what was made from
    /// an image's files, what it was made from; of a package, its key.
    pub digest: Digest,
    /// What it is.
    pub kind: Kind,
    /// Bytes that it takes on the disk, in whole blocks.
    pub bytes: u64,
    /// Files, directories, links and whiteouts.
    pub entries: u64,
    /// When it was used last.
    pub last_used: SystemTime,
    /// Whether something uses it now.
    pub in_use: bool,
}

/// What all of it comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many layers there are.
    pub layers: u64,
    /// Bytes that they take on the disk.
    pub bytes: u64,
    /// Files, directories, links and whiteouts.
    pub entries: u64,
    /// Bytes of those that something uses now.
    pub bytes_in_use: u64,
}

impl LayerStore {
    /// What is kept, that used last first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> io::Result<Vec<KeptLayer>> {
        let mut all = Vec::new();
        for (kind, digest, place) in self.all()? {
            // What is gone by now, or not whole, takes no room that anybody could free.
            let Some(record) = Record::read(&place)? else {
                continue;
            };
            let last_used = self.last_used(kind, &digest)?;
            let in_use = self.lock(kind, &digest, Hold::Alone)?.is_none();
            all.push(KeptLayer {
                kind,
                bytes: record.bytes,
                entries: record.entries,
                digest,
                last_used,
                in_use,
            });
        }
        all.sort_by_key(|kept| std::cmp::Reverse(kept.last_used));
        Ok(all)
    }

    /// What all of it comes to.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for kept in self.list()? {
            usage.layers += u64::from(kept.kind == Kind::Layer);
            usage.bytes = usage.bytes.saturating_add(kept.bytes);
            usage.entries = usage.entries.saturating_add(kept.entries);
            if kept.in_use {
                usage.bytes_in_use = usage.bytes_in_use.saturating_add(kept.bytes);
            }
        }
        Ok(usage)
    }
}
