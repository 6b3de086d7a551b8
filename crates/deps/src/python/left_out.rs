//! Which files of distributions an environment does without.

use super::distribution::Distribution;
use super::layout::Layout;
use crate::place::Glob;
use ohoci_layer::LayerPath;

/// Files to leave out, by their paths below `site-packages`.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftOut {
    drop: Vec<Glob>,
    keep: Vec<Glob>,
}

impl LeftOut {
    /// What `drop` matches and `keep` does not.
    pub(super) fn new(drop: &[Glob], keep: &[Glob]) -> Self {
        Self {
            drop: drop.to_vec(),
            keep: keep.to_vec(),
        }
    }

    /// Whether the file at `path` of the distribution, which goes to `target` in the environment, is one of them.
    /// What a distribution says of itself never is: other packages look for it, and there are licences in it.
    pub(super) fn has(
        &self,
        path: &LayerPath,
        target: &LayerPath,
        distribution: &Distribution,
        layout: &Layout,
    ) -> bool {
        let Some(below) = below(&layout.site_packages(), target) else {
            return false;
        };
        let is_meant = |patterns: &[Glob]| patterns.iter().any(|one| one.matches(&below));
        is_meant(&self.drop)
            && !is_meant(&self.keep)
            && !distribution.licences.files.contains(path)
            && below.names().next() != Some(distribution.dist_info.as_bytes())
    }
}

/// The path relative to a directory that it is in.
fn below(directory: &LayerPath, path: &LayerPath) -> Option<LayerPath> {
    let rest = path.as_bytes().strip_prefix(directory.as_bytes())?;
    LayerPath::parse(rest.strip_prefix(b"/")?).ok()
}
