//! Files that take the place of others as a whole: made under another name first.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Mode, OFlags, RawMode, Timestamps, fchmod, futimens, openat, renameat, unlinkat,
};

/// A name that nothing else has, for what is to take the place of something.
pub(crate) fn another_name() -> String {
    format!(".ohoci-{:016x}", fastrand::u64(..))
}

/// Writes a file under another name first, which then takes its place, with permissions and dates.
pub(crate) fn put(
    above: &OwnedFd,
    name: &OsStr,
    content: &mut dyn Read,
    (mode, dates): (u32, Option<Timestamps>),
) -> io::Result<()> {
    let other = another_name();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(above, &other, flags, Mode::from_raw_mode(0o600))?;
    let mut file = std::fs::File::from(file);
    let written = io::copy(content, &mut file).and_then(|_| {
        fchmod(&file, Mode::from_raw_mode(RawMode::from(mode & 0o777)))?;
        if let Some(dates) = dates {
            futimens(&file, &dates)?;
        }
        Ok(renameat(above, &other, above, name)?)
    });
    if written.is_err() {
        // What went wrong is told already.
        let _ = unlinkat(above, &other, AtFlags::empty());
    }
    written
}
