//! What layers of images are read with.

use std::io::{self, Read};
use std::sync::Arc;

use ohoci_image::Digest;
use ohoci_layer::limits::UnpackLimits;
use ohoci_layer::tar_read::Member;
use ohoci_store::cache::Cache;

/// Layers that are unpacked on this machine already.
pub trait UnpackedLayers: std::fmt::Debug + Send + Sync {
    /// Hands over what a layer has, each with its content, as a tar of it would: every path once, whiteouts
    /// first and directories before what is in them; `false` where it is not there. Blocks.
    ///
    /// # Errors
    /// When something of it cannot be read, and those of `take`.
    fn members(
        &self,
        diff_id: &Digest,
        take: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<bool>;
}

/// What is remembered of layers, and how large they may be.
#[derive(Clone, Copy, Debug)]
pub struct LayerReader<'a> {
    /// What earlier runs found out, so that a layer is read once.
    pub cache: &'a Cache,
    /// What an image may come to when it is unpacked.
    pub limits: UnpackLimits,
    /// Layers that need not be downloaded to be looked at.
    pub unpacked: Option<&'a Arc<dyn UnpackedLayers>>,
}
