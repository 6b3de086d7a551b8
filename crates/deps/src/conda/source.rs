//! What packages of conda are had with.

use std::path::PathBuf;

use super::channels::Channels;
use crate::fetch::Fetcher;

/// Where conda's packages are taken from.
#[derive(Clone, Debug)]
pub struct CondaSource {
    /// Downloads, and keeps what it has downloaded.
    pub fetcher: Fetcher,
    /// The channels.
    pub channels: Channels,
    /// Where contents of packages wait.
    pub work_dir: PathBuf,
    /// Whether nothing may be downloaded.
    pub offline: bool,
    /// The time, in seconds since 1970: lists of channels are asked for anew after a while.
    pub now: i64,
}
