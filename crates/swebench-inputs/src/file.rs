//! Files of inputs, read whole.

use std::io::Read as _;
use std::path::Path;

use super::error::InputError;
use ohoci_files::regular;

/// The largest file that is read, in bytes: datasets and logs are far below.
const LARGEST: u64 = 1 << 30;

/// The content of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    let fail = |why: String| InputError::new(format!("cannot read {}", path.display()), why);
    let file = regular::open(path).map_err(|error| fail(error.to_string()))?;
    let mut content = Vec::new();
    file.take(LARGEST + 1)
        .read_to_end(&mut content)
        .map_err(|error| fail(error.to_string()))?;
    if content.len() as u64 > LARGEST {
        return Err(fail(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(content)
}

/// What a file's name ends with.
pub(super) fn extension(path: &Path) -> Option<&str> {
    path.extension()?.to_str()
}
