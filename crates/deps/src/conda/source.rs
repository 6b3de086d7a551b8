//! What packages of conda are had with.

use std::path::{Path, PathBuf};

use super::channels::{Channels, Settings};
use super::error::CondaError;
use crate::fetch::Fetcher;
use ohoci_config::{Environment, PackageMirrors};

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

/// The channels of a machine whose settings say no more than where channels are.
const CHANNELS: [&str; 1] = ["conda-forge"];

/// What packages of conda are looked up by: what this machine says of channels.
#[derive(Clone, Copy, Debug)]
pub struct CondaMeans<'a> {
    /// The variables that conda is set up by.
    pub environment: &'a Environment,
    /// The mirrors of ohoci's own configuration.
    pub mirrors: &'a PackageMirrors,
    /// Where the machine's settings are.
    pub etc: &'a Path,
    /// Where contents of packages wait.
    pub work_dir: &'a Path,
    /// The time, in seconds since 1970.
    pub now: i64,
}

impl CondaMeans<'_> {
    /// What packages of these channels are had with; without any, of the machine's.
    pub(crate) fn source(
        &self,
        channels: &[String],
        fetcher: &Fetcher,
    ) -> Result<CondaSource, CondaError> {
        let settings = Settings::of_machine(channels, self.environment, self.mirrors, self.etc);
        Ok(CondaSource {
            fetcher: fetcher.clone(),
            channels: settings.channels(&CHANNELS)?,
            work_dir: self.work_dir.to_owned(),
            offline: false,
            now: self.now,
        })
    }
}
