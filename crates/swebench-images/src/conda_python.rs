//! The Python among an environment's packages of conda.

use sha2::{Digest as _, Sha256};

use crate::shim;
use ohoci_conda::record::Located;
use ohoci_swebench::environment::Lock;

/// The version of [`CondaPython::key`]: it changes when equal packages are linked in another way.
const VERSION: u32 = 1;

/// A Python among packages of conda.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CondaPython {
    key: String,
    has_pip: bool,
}

impl CondaPython {
    /// The Python of an environment.
    #[must_use]
    pub(crate) fn of(lock: &Lock, packages: &[Located]) -> Self {
        let mut hash = Sha256::new();
        hash.update(format!("{VERSION} {}", shim::fingerprint()));
        for package in &lock.linked {
            hash.update(format!("\n{} {}", package.path, package.digest));
        }
        let mut names = packages.iter().map(|package| &package.record.name);
        Self {
            key: hex::encode(hash.finalize()),
            has_pip: names.any(|name| name == "pip"),
        }
    }

    /// A name for all of the packages.
    #[must_use]
    pub(crate) fn key(&self) -> String {
        self.key.clone()
    }

    /// Whether pip is among the packages.
    #[must_use]
    pub(crate) fn has_pip(&self) -> bool {
        self.has_pip
    }
}
