//! The project's source as a layer of its own.

use std::path::Path;

use super::tags::dirhash::{ignores_directory, ignores_file};
use ohoci_compose::local::Given;
use ohoci_layer::path::LayerPath;
use ohoci_layer::source::{LayerSource, LayerSourceError};

/// Where the project's source lies in an image.
const CODE: &str = "/openhands/code";

/// The source below a directory, to be packed. With `only_hashed` it is what V0's source and lock tags
/// are hashes of, so that no other change hides behind a tag that exists; otherwise all but hidden
/// directories, `__pycache__` and `*.pyc`.
///
/// # Errors
/// A directory whose name no layer can be made of.
pub fn code(directory: &Path, only_hashed: bool) -> Result<Given, LayerSourceError> {
    Ok(Given {
        name: "code".to_owned(),
        source: LayerSource::parse(format!("{}:{CODE}", directory.display()))?,
        wanted: Some(Box::new(move |path, is_directory| {
            is_code(path, is_directory, only_hashed).into()
        })),
    })
}

/// Whether a path below the project's directory goes into the image.
fn is_code(path: &LayerPath, is_directory: bool, only_hashed: bool) -> bool {
    let name = String::from_utf8_lossy(path.name());
    let is_wanted = if is_directory {
        !ignores_directory(&name)
    } else {
        !ignores_file(&name)
    };
    let mut names = path.names();
    let first = names.next().unwrap_or_default();
    let is_hashed = match names.next() {
        None if !is_directory => [&b"pyproject.toml"[..], b"poetry.lock"].contains(&first),
        _ => first == b"openhands",
    };
    is_wanted && (is_hashed || !only_hashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tags_are_hashes_of_goes_in_and_nothing_else_where_they_name_the_image() {
        let goes = |path: &str, is_directory: bool, only_hashed: bool| {
            let path = LayerPath::parse(path.as_bytes()).unwrap();
            is_code(&path, is_directory, only_hashed)
        };
        for (path, is_directory, hashed, whole) in [
            ("openhands", true, true, true),
            ("openhands/core/main.py", false, true, true),
            ("pyproject.toml", false, true, true),
            ("docs/pyproject.toml", false, false, true),
            ("tests", true, false, true),
            ("openhands/__pycache__", true, false, false),
            ("openhands/a.pyc", false, false, false),
            (".git", true, false, false),
        ] {
            assert_eq!(goes(path, is_directory, true), hashed, "{path}");
            assert_eq!(goes(path, is_directory, false), whole, "{path}");
        }
    }
}
