//! What every request can see.

use std::sync::Arc;

use super::authentication::Authentication;
use super::images::Images;
use super::metrics::Metrics;
use super::options::Options;
use super::storage::Storage;

/// What every request can see.
#[derive(Debug)]
pub(super) struct App {
    pub(super) options: Arc<Options>,
    pub(super) authentication: Option<Authentication>,
    pub(super) content: Content,
    pub(super) metrics: Metrics,
}

/// Where answers come from.
#[derive(Debug)]
pub(super) enum Content {
    /// Repositories that lie in directories, and may be written.
    Layouts(Layouts),
    /// Images that lie nowhere here, and may only be read.
    Images(Arc<dyn Images>),
}

/// Repositories that lie in directories.
#[derive(Debug)]
pub(super) struct Layouts {
    pub(super) options: Arc<Options>,
    pub(super) storage: Arc<Storage>,
}
