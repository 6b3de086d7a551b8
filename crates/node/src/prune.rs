//! Making room.

use std::io;
use std::time::SystemTime;

use ohoci_image::Digest;

use super::lock::Hold;
use super::store::{Kind, LayerStore};
use super::usage::KeptLayer;

/// What is to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// What was used last, as far as it comes to no more than so many bytes.
    Bytes(u64),
    /// What was used then or later.
    UsedSince(SystemTime),
    /// Nothing.
    Nothing,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many layers.
    pub layers: u64,
    /// Bytes that they took.
    pub bytes: u64,
    /// Bytes that should have gone and stay because something uses them.
    pub bytes_in_use: u64,
}

impl LayerStore {
    /// Removes layers, or what else is kept, that nothing uses, and leaves those that something does. Blocks.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub fn remove(&self, kind: Kind, digests: &[Digest]) -> io::Result<()> {
        for digest in digests {
            if let Some(_lock) = self.lock(kind, digest, Hold::Alone)? {
                self.discard(&self.place(kind, digest))?;
                self.remove_lock(kind, digest);
            }
        }
        Ok(())
    }

    /// Removes what is not to stay, that used longest ago first, and never what something uses. What
    /// killed processes left unfinished goes, too. Blocks.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn prune(&self, retention: Retention) -> io::Result<Pruned> {
        // Making a directory there removes what is left of others.
        drop(self.unfinished()?);
        let kept = self.list()?;
        let mut left: u64 = kept
            .iter()
            .fold(0, |sum, kept| sum.saturating_add(kept.bytes));
        let mut pruned = Pruned::default();
        for kept in kept.iter().rev() {
            if stays(kept, retention, left) {
                continue;
            }
            let kind = kept.kind;
            let Some(_lock) = self.lock(kind, &kept.digest, Hold::Alone)? else {
                pruned.bytes_in_use = pruned.bytes_in_use.saturating_add(kept.bytes);
                continue;
            };
            // Another process may have used it since.
            if self.last_used(kind, &kept.digest)? > kept.last_used {
                continue;
            }
            self.discard(&self.place(kind, &kept.digest))?;
            self.remove_lock(kind, &kept.digest);
            left = left.saturating_sub(kept.bytes);
            pruned.layers += u64::from(kept.kind == Kind::Layer);
            pruned.bytes = pruned.bytes.saturating_add(kept.bytes);
        }
        Ok(pruned)
    }
}

fn stays(kept: &KeptLayer, retention: Retention, left: u64) -> bool {
    match retention {
        Retention::Nothing => false,
        Retention::Bytes(most) => left <= most,
        Retention::UsedSince(then) => kept.last_used >= then,
    }
}
