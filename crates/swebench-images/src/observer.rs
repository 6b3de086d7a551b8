//! Who hears how building goes.

use std::path::Path;

use super::report::ImageOutcome;
use crate::BuildError;
use ohoci_deps::NewLock;
use ohoci_sandbox::Limiter;

/// Hears of images as they come, and of what happens before the first of them.
pub trait Observer: Sync {
    /// An image is there, or cannot be.
    fn ended(&self, outcome: &ImageOutcome);

    /// The base's recipe had no lock that was its own, and this one was made.
    fn locked(&self, _made: &NewLock) {}

    /// The base is being assembled of so many packages.
    fn assembling(&self, _packages: usize) {}

    /// The base's packages do not become one, so that no image can be built.
    fn without_base(&self, _error: &BuildError) {}

    /// What programs are held to their limits with.
    fn limited(&self, _limiter: &Limiter) {}

    /// Packages and base are there: images are built from here on.
    fn prepared(&self) {}

    /// A scheduler is given these, one after the other, and waited for.
    fn submitted(&self, _scripts: &[&Path]) {}

    /// Something should be known that stops nothing.
    fn warned(&self, _warning: &str) {}
}
