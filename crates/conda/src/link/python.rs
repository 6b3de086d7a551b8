//! The Python of a prefix, and where it looks for packages.

use crate::record::Record;
use ohoci_layer::LayerPath;

/// Where a Python has what.
#[derive(Clone, Debug)]
pub(super) struct Python {
    program: String,
    site_packages: LayerPath,
}

impl Python {
    /// The Python that a package of that name brings.
    pub(super) fn of(record: &Record) -> Result<Self, String> {
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
