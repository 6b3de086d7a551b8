//! The channels of this machine, asked for what environments are made of.

use std::env::consts::ARCH;

use crate::conda_choice::take;
use crate::planned::PlannedImage;
use ohoci_deps::Session;
use ohoci_deps::conda::choice::subdirs;
use ohoci_deps::conda::error::{CondaError, CondaErrorKind};
use ohoci_deps::conda::source::CondaSource;

/// The channels of frozen environments, for machines that are told only where channels are.
const CHANNELS: [&str; 2] = ["defaults", "conda-forge"];

/// What came of asking the channels.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// Where packages are taken from; `None` where no channel is to be had.
    pub source: Option<CondaSource>,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

/// Makes the environments of images of packages of conda, as far as this machine's channels, or those that
/// `flags` name, have them.
///
/// Where no flag names a channel, one that is not to be had leaves all environments with pip, which is told.
///
/// # Errors
/// A channel that a flag names and that is not to be had; a list that means harm.
pub(crate) async fn ask(
    images: &mut [PlannedImage],
    session: &Session<'_>,
    flags: &[String],
    offline: bool,
) -> Result<Asked, CondaError> {
    let settings = session.conda_settings(flags);
    if settings.is_empty() {
        return Ok(Asked::default());
    }
    let found = async {
        let channels = settings.channels(&CHANNELS)?;
        let source = session.conda_source(channels, offline);
        let lists = source.lists(&subdirs(ARCH)).await?;
        Ok::<_, CondaError>((source, lists))
    };
    let (source, lists) = match found.await {
        Ok(found) => found,
        Err(error) if flags.is_empty() && is_absent(&error) => {
            return Ok(Asked {
                source: None,
                notes: vec![format!("{error}; environments are made by pip alone")],
            });
        }
        Err(error) => return Err(error),
    };
    take(images, &lists)?;
    Ok(Asked {
        source: Some(source),
        notes: lists.notes,
    })
}

/// Whether a channel is only not to be had, and not dangerous.
fn is_absent(error: &CondaError) -> bool {
    matches!(
        error.kind(),
        CondaErrorKind::NoPlace | CondaErrorKind::NoChannel | CondaErrorKind::Unreachable
    )
}
