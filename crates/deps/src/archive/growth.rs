//! How large archives may become when they are decompressed.

/// What an archive may always grow to…
pub(crate) const FREE_GROWTH: u64 = 64 << 20;
/// …and how many times larger it may become beyond that. Real packages stay below 20.
const MAX_GROWTH: u64 = 200;

/// How many bytes an archive of `size` bytes may have when it is decompressed, and never more than
/// `most`: enough for any package, too little for a bomb to fill a disk.
#[must_use]
pub(crate) fn largest(size: u64, most: u64) -> u64 {
    let grown = size.saturating_mul(MAX_GROWTH);
    grown.saturating_add(FREE_GROWTH).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_small_may_grow_and_nothing_grows_for_ever() {
        assert_eq!(largest(0, u64::MAX), FREE_GROWTH);
        assert_eq!(largest(1 << 20, u64::MAX), FREE_GROWTH + (200 << 20));
        assert_eq!(largest(u64::MAX, 5), 5);
    }
}
