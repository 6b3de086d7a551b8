//! What layers of images are read with.

use ohoci_layer::limits::UnpackLimits;
use ohoci_store::cache::Cache;

/// What is remembered of layers, and how large they may be.
#[derive(Clone, Copy, Debug)]
pub struct LayerReader<'a> {
    /// What earlier runs found out, so that a layer is read once.
    pub cache: &'a Cache,
    /// What an image may come to when it is unpacked.
    pub limits: UnpackLimits,
}
