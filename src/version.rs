//! What `--version` says: the version, the commit that it was built from, and for which machines.

/// The commit that it was built from, where one is known; else, in words, that there is none.
pub(crate) const COMMIT: &str = env!("OHOCI_BUILT_FROM");

/// The version, the commit where one is known, and the target.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("OHOCI_BUILT_FROM"),
    ", ",
    env!("OHOCI_BUILT_FOR"),
    ")"
);
