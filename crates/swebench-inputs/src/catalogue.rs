//! Tables of how repositories are installed and tested.

use std::path::Path;

use super::error::InputError;
use super::file::read;
use ohoci_swebench::specs::Catalogue;

/// How versions of repositories are installed and tested: upstream's table, and a user's own before
/// it.
///
/// # Errors
/// When the file cannot be read, or is no such table.
pub fn catalogue(own: Option<&Path>) -> Result<Catalogue, InputError> {
    let mut catalogue = Catalogue::upstream()
        .map_err(|error| InputError::new("cannot use upstream's table", error.to_string()))?;
    if let Some(path) = own {
        let own = Catalogue::parse(&read(path)?).map_err(|error| {
            InputError::new(
                format!("cannot use {}", path.display()),
                format!("it is no table of repositories: {error}"),
            )
            .hinted(
                "{\"repositories\": {\"OWNER/NAME\": [{\"versions\": [\"1.0\"], \"python\": \"3.9\", \"install\": …, \"test_cmd\": …}]}}",
            )
        })?;
        catalogue.extend(own);
    }
    Ok(catalogue)
}
