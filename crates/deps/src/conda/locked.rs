//! Packages of conda as locks name them.

use crate::lock::{LockedFile, LockedSource};
use ohoci_conda::record::{Located, Record};

/// The package that a lock means, as its channel would list it; `None` where it is no place of one.
pub(crate) fn located(source: &LockedSource, file: &LockedFile) -> Option<Located> {
    let mut parts = file.path.rsplitn(3, '/');
    let (file_name, subdir, channel) = (parts.next()?, parts.next()?, parts.next()?);
    let (version, build) = source.version.as_deref()?.split_once('=')?;
    let located = Located {
        record: Record {
            name: source.name.clone(),
            version: version.to_owned(),
            build: build.to_owned(),
            subdir: subdir.to_owned(),
            sha256: Some(file.digest.hex().to_owned()),
            size: Some(file.size),
            ..Record::default()
        },
        file_name: file_name.to_owned(),
        channel: channel.to_owned(),
    };
    located.is_consistent().then_some(located)
}
