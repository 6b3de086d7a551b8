//! Reads a checkout of OpenHands as far as V0 tags depend on it.

use std::io;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use ohoci_openhands::tags::dirhash::{Listing, ignores_directory, ignores_file};

/// The package whose files are hashed.
const PACKAGE: &str = "openhands";

/// What V0 tags depend on.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) pyproject: Vec<u8>,
    pub(super) poetry_lock: Vec<u8>,
    /// The hash of the package.
    pub(super) hash: u128,
}

/// Reads a checkout.
pub(super) fn read(directory: &Path) -> Result<Source, Failure> {
    let fail = |error: io::Error| {
        Failure::new(
            format!(
                "cannot read the source of OpenHands in {}",
                directory.display()
            ),
            error.to_string(),
        )
        .hinted("--source names the directory that holds openhands, pyproject.toml and poetry.lock")
    };
    let package = directory.join(PACKAGE);
    let mut listing = Listing::default();
    walk(&package, &mut Vec::new(), &mut Vec::new(), &mut listing).map_err(fail)?;
    let hash = listing.hash().ok_or_else(|| {
        fail(io::Error::other(format!(
            "{} holds no file",
            package.display()
        )))
    })?;
    let file = |name: &str| {
        // An installed package brings its own.
        let inside = package.join(name);
        if inside.exists() {
            fs_err::read(inside)
        } else {
            fs_err::read(directory.join(name))
        }
        .map_err(fail)
    };
    Ok(Source {
        pyproject: file("pyproject.toml")?,
        poetry_lock: file("poetry.lock")?,
        hash,
    })
}

impl Source {
    /// The version that pyproject.toml states, Poetry's way or the standard's.
    pub(super) fn version(&self) -> Option<String> {
        let table: toml::Table = toml::from_str(std::str::from_utf8(&self.pyproject).ok()?).ok()?;
        let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
        poetry
            .and_then(|poetry| poetry.get("version"))
            .or_else(|| table.get("project")?.get("version"))?
            .as_str()
            .map(str::to_owned)
    }
}

/// Adds the files of a directory and those below it; links are followed, those that lead nowhere
/// and what is neither file nor directory are passed over, as `dirhash` does.
fn walk(
    directory: &Path,
    path: &mut Vec<String>,
    above: &mut Vec<PathBuf>,
    listing: &mut Listing,
) -> io::Result<()> {
    let real = fs_err::canonicalize(directory)?;
    if above.contains(&real) {
        return Err(io::Error::other(format!(
            "{} is a link to a directory that it is in",
            directory.display()
        )));
    }
    above.push(real);
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let is_link = entry.file_type()?.is_symlink();
        let kind = match fs_err::metadata(entry.path()) {
            Err(_) if is_link => continue,
            kind => kind?,
        };
        if !kind.is_dir() && !kind.is_file() {
            continue;
        }
        let name = entry.file_name().into_string().map_err(|name| {
            io::Error::other(format!("the name {} is not UTF-8", name.display()))
        })?;
        if kind.is_dir() && !ignores_directory(&name) {
            path.push(name);
            walk(&entry.path(), path, above, listing)?;
            path.pop();
        } else if kind.is_file() && !ignores_file(&name) {
            listing.add(path, &name, &fs_err::read(entry.path())?);
        }
    }
    above.pop();
    Ok(())
}
