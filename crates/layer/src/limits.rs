//! How large a layer and an image may become when they are unpacked.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// What one image, or one layer alone, may come to. An archive is as an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Most bytes of all layers together, decompressed.
    pub bytes: u64,
    /// Most members of all layers together: files, directories, links and the like.
    pub entries: u64,
    /// Most bytes of names, link targets and extended attributes, of all layers together: what is
    /// kept in memory of them.
    pub names: u64,
}

impl Default for UnpackLimits {
    /// 64 GiB, four million entries, 1 GiB of names: several times what the largest images have
    /// that are in use.
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4_000_000,
            names: 1 << 30,
        }
    }
}

/// How to allow more, behind the words of what there was too much of.
fn exceeded(what: &str, limit: u64, unit: &str, setting: &str, variable: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "{what} more than the {limit} {unit} that are allowed (`{setting}` in [limits] of \
             your ohoci/config.toml, or ${variable}, allows more)"
        ),
    )
}

/// What is left of the limits while the layers of one image are read, one after the other or side
/// by side.
#[derive(Debug)]
pub struct Budget {
    limits: UnpackLimits,
    bytes: AtomicU64,
    entries: AtomicU64,
    names: AtomicU64,
}

impl Budget {
    /// All of it.
    #[must_use]
    pub fn new(limits: UnpackLimits) -> Self {
        Self {
            bytes: AtomicU64::new(limits.bytes),
            entries: AtomicU64::new(limits.entries),
            names: AtomicU64::new(limits.names),
            limits,
        }
    }

    /// For what has limits of its own.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(UnpackLimits {
            bytes: u64::MAX,
            entries: u64::MAX,
            names: u64::MAX,
        })
    }

    /// How many more bytes there may be.
    #[must_use]
    pub(crate) fn bytes_left(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Takes decompressed bytes.
    ///
    /// # Errors
    /// When there are more than are allowed.
    pub fn take_bytes(&self, count: u64) -> io::Result<()> {
        take(&self.bytes, count).ok_or_else(|| {
            exceeded(
                "it unpacks to",
                self.limits.bytes,
                "bytes",
                "unpacked-bytes",
                "OHOCI_MAX_UNPACKED_BYTES",
            )
        })
    }

    /// Takes one member whose names and values have so many bytes.
    ///
    /// # Errors
    /// When there are more than are allowed.
    pub fn take_entry(&self, names: u64) -> io::Result<()> {
        take(&self.entries, 1).ok_or_else(|| {
            exceeded(
                "it has",
                self.limits.entries,
                "entries",
                "entries",
                "OHOCI_MAX_ENTRIES",
            )
        })?;
        take(&self.names, names).ok_or_else(|| {
            exceeded(
                "its names and links have",
                self.limits.names,
                "bytes",
                "name-bytes",
                "OHOCI_MAX_NAME_BYTES",
            )
        })
    }
}

fn take(left: &AtomicU64, count: u64) -> Option<()> {
    let less = |left: u64| left.checked_sub(count);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .ok()
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_says_which_limit_and_how_to_raise_it() {
        let budget = Budget::new(UnpackLimits {
            bytes: 10,
            entries: 2,
            names: 5,
        });
        budget.take_bytes(10).unwrap();
        let complaint = budget.take_bytes(1).unwrap_err().to_string();
        for word in ["10 bytes", "unpacked-bytes", "OHOCI_MAX_UNPACKED_BYTES"] {
            assert!(complaint.contains(word), "{complaint}");
        }
        budget.take_entry(5).unwrap();
        let complaint = budget.take_entry(1).unwrap_err().to_string();
        assert!(complaint.contains("name-bytes"), "{complaint}");
        let complaint = budget.take_entry(0).unwrap_err().to_string();
        assert!(complaint.contains("2 entries"), "{complaint}");
    }
}
