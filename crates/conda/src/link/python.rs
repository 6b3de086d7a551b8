//! The Python of a prefix, and where it looks for packages.

use super::LinkError;
use crate::record::{NOARCH, Noarch, Record};
use ohoci_layer::LayerPath;

/// Where the Python of an environment has what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    program: String,
    site_packages: LayerPath,
}

impl Python {
    /// The Python that the packages with these records bring, if one does.
    ///
    /// # Errors
    /// When its version does not tell where it has its packages.
    pub fn among<'a>(
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<Option<Self>, LinkError> {
        let mut records = records.into_iter();
        let python = records.find(|record| record.name == "python");
        let python = python.map(Self::of).transpose();
        python.map_err(|reason| LinkError {
            package: "python".to_owned(),
            reason,
        })
    }

    /// Whether a package's files may stand elsewhere with another Python.
    #[must_use]
    pub fn decides_for(record: &Record) -> bool {
        match record.noarch {
            Some(noarch) => noarch == Noarch::Python,
            // What a channel of old does not say, the package may.
            None => record.subdir == NOARCH,
        }
    }

    /// A name for where it has what.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{} {}", self.program, self.site_packages)
    }

    fn of(record: &Record) -> Result<Self, String> {
        let mut numbers = record.version.split('.').map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            return Err(format!(
                "its version {:?} does not begin with two numbers",
                record.version
            ));
        };
        let site_packages = match &record.python_site_packages_path {
            Some(path) => path.clone(),
            None => format!("lib/python{major}.{minor}/site-packages"),
        };
        Ok(Self {
            program: format!("bin/python{major}.{minor}"),
            site_packages: LayerPath::parse(site_packages.as_bytes())
                .map_err(|error| error.to_string())?,
        })
    }

    /// The program, below the prefix.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Where a file of a package that is the same everywhere goes.
    pub(super) fn place(&self, path: &LayerPath) -> Result<LayerPath, String> {
        let bytes = path.as_bytes();
        let below = |rest: &[u8], directory: &LayerPath| {
            LayerPath::parse(rest)
                .and_then(|rest| directory.join(&rest))
                .map_err(|error| error.to_string())
        };
        if let Some(rest) = bytes.strip_prefix(b"site-packages/") {
            return below(rest, &self.site_packages);
        }
        if let Some(rest) = bytes.strip_prefix(b"python-scripts/") {
            let bin = LayerPath::parse(b"bin").map_err(|error| error.to_string())?;
            return below(rest, &bin);
        }
        Ok(path.clone())
    }
}
