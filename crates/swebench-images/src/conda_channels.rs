//! The channels of this machine, asked for what environments are made of.

use std::env::consts::ARCH;

use crate::conda_choice::take;
use crate::conda_locks::CondaLocks;
use crate::images_error::ImagesError;
use crate::planned::PlannedImage;
use ohoci_deps::Session;
use ohoci_deps::conda::choice::subdirs;
use ohoci_deps::conda::error::{CondaError, CondaErrorKind};
use ohoci_deps::conda::source::CondaSource;
use ohoci_deps::conda::target::target;

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

/// How channels are asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    /// Channels before those of this machine's settings.
    pub flags: &'a [String],
    /// Whether nothing may be downloaded.
    pub offline: bool,
    /// The glibc of the base, where it is known.
    pub glibc: Option<&'a str>,
    /// What was chosen before.
    pub locks: &'a CondaLocks,
}

/// Makes the environments of images of packages of conda, as far as this machine's channels, or those that
/// a flag names, have them.
///
/// Where no flag names a channel, one that is not to be had leaves all environments with pip, which is told.
///
/// # Errors
/// A channel that a flag names and that is not to be had; a list that means harm; a lock that cannot be read or
/// written.
pub(crate) async fn ask(
    images: &mut [PlannedImage],
    session: &Session<'_>,
    asking: Asking<'_>,
) -> Result<Asked, ImagesError> {
    let settings = session.conda_settings(asking.flags);
    if settings.is_empty() {
        return Ok(Asked::default());
    }
    let subdirs = subdirs(ARCH);
    let [subdir, _] = subdirs;
    let found = async {
        let channels = settings.channels(&CHANNELS)?;
        let source = session.conda_source(channels, asking.offline);
        let lists = source.lists(&subdirs).await?;
        Ok::<_, CondaError>((source, lists))
    };
    let (source, lists) = match found.await {
        Ok(found) => found,
        Err(error) if asking.flags.is_empty() && is_absent(&error) => {
            return Ok(Asked {
                source: None,
                notes: vec![format!("{error}; environments are made by pip alone")],
            });
        }
        Err(error) => return Err(error.into()),
    };
    let target = target(subdir, asking.glibc, session.environment);
    let conflicts = take(images, &source, &lists, &target, asking.locks).await?;
    let mut notes = lists.notes;
    notes.extend(conflicts.into_iter().map(|(image, why)| {
        let machine = target.virtual_packages().join(", ");
        format!(
            "no packages of conda do what {image} asks for, and pip makes it as far as it can; its machine has {machine} \
             (CONDA_OVERRIDE_GLIBC says otherwise):\n{why}"
        )
    }));
    Ok(Asked {
        source: Some(source),
        notes,
    })
}

/// Whether a channel is only not to be had, and not dangerous.
fn is_absent(error: &CondaError) -> bool {
    matches!(
        error.kind(),
        CondaErrorKind::NoPlace | CondaErrorKind::NoChannel | CondaErrorKind::Unreachable
    )
}
