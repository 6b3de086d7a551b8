//! What every request can see.

use std::sync::Arc;

use super::authentication::Authentication;
use super::options::Options;
use super::storage::Storage;

/// What every request can see.
#[derive(Debug)]
pub(super) struct App {
    pub(super) options: Options,
    pub(super) authentication: Option<Authentication>,
    pub(super) storage: Arc<Storage>,
}
