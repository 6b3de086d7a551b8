//! Locked packages of conda, from channels that this machine knows by name.

use crate::conda::error::CondaErrorKind;
use crate::conda::locked::located;
use crate::conda::source::CondaMeans;
use crate::fetch::{FetchErrorKind, Fetcher};
use crate::lock::{LockedFile, LockedSource};
use crate::recipe::Feature;

/// Has a package in the cache, from the channel that it was locked from.
pub(super) async fn take(
    feature: &Feature,
    source: &LockedSource,
    file: &LockedFile,
    fetcher: &Fetcher,
    means: CondaMeans<'_>,
) -> Result<(), (FetchErrorKind, String)> {
    let refused = |why: String| (FetchErrorKind::Refused, why);
    let table = feature.conda.as_ref();
    let table = table.ok_or_else(|| refused("the recipe has no [conda] any longer".to_owned()))?;
    let located = located(source, file)
        .ok_or_else(|| refused(format!("{:?} is no place of a conda package", file.path)))?;
    let channels = match table.channels.is_empty() {
        true => vec![located.channel.clone()],
        false => table.channels.clone(),
    };
    let fetched = async { means.source(&channels, fetcher)?.fetch(&[located]).await };
    match fetched.await {
        Ok(_) => Ok(()),
        Err(error) => {
            let kind = match error.kind() {
                CondaErrorKind::Gone => FetchErrorKind::Gone,
                CondaErrorKind::WrongDigest => FetchErrorKind::Corrupt,
                CondaErrorKind::Unreachable => FetchErrorKind::Unreachable,
                CondaErrorKind::NoPlace | CondaErrorKind::NoChannel | CondaErrorKind::Malformed => {
                    FetchErrorKind::Refused
                }
            };
            let hint = error.hint().map(|hint| format!(" ({hint})"));
            Err((kind, format!("{error}{}", hint.unwrap_or_default())))
        }
    }
}
