//! Distributions that are installed in a finished layer (PEP 376, PEP 627).

use std::collections::BTreeSet;

use super::distribution::{Licences, licences};
use super::metadata::Headers;
use super::name::PackageName;
use super::record;
use ohoci_layer::LayerPath;

/// What a `.dist-info` directory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledDistribution {
    /// The package.
    pub name: PackageName,
    /// What it says about its licence; files are not among it.
    pub licences: Licences,
    /// Its files, by what paths in the layer are relative to.
    pub files: BTreeSet<LayerPath>,
}

impl InstalledDistribution {
    /// Reads the `METADATA` and the `RECORD` of the directory `dist_info`.
    ///
    /// # Errors
    /// Why they cannot be understood.
    pub fn parse(dist_info: &LayerPath, metadata: &str, record: &str) -> Result<Self, String> {
        let metadata = Headers::parse(metadata)?;
        let name = metadata.one("Name")?;
        let name = PackageName::parse(name).ok_or_else(|| format!("{name:?} is no name"))?;
        let site = dist_info.parent().unwrap_or_default();
        let files = record::parse(record)?;
        let files = files.keys().filter_map(|path| below(&site, path));
        Ok(Self {
            name,
            licences: licences(&metadata, "", &Default::default()),
            files: files.collect(),
        })
    }
}

/// A path of a RECORD, which may lead upwards from the packages.
fn below(site: &LayerPath, path: &str) -> Option<LayerPath> {
    let mut names: Vec<&[u8]> = match path.starts_with('/') {
        true => Vec::new(),
        false => site.names().collect(),
    };
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name.as_bytes()),
        }
    }
    LayerPath::parse(&names.join(&b'/')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_from_where_the_packages_are() {
        let dist_info =
            LayerPath::parse(b"oh/lib/python3.13/site-packages/a_b-1.0.dist-info").unwrap();
        let record = "a_b/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n\
                      ../../../bin/ab,,\n../../../../../../etc/passwd,,\n/oh/share/x,,\n\
                      a_b-1.0.dist-info/RECORD,,\n";
        let metadata = "Metadata-Version: 2.4\nName: A.B\nVersion: 1.0\nLicense-Expression: MIT\n";
        let found = InstalledDistribution::parse(&dist_info, metadata, record).unwrap();
        let files: Vec<String> = found.files.iter().map(ToString::to_string).collect();
        assert_eq!(
            files,
            [
                "/oh/bin/ab",
                "/oh/lib/python3.13/site-packages/a_b-1.0.dist-info/RECORD",
                "/oh/lib/python3.13/site-packages/a_b/__init__.py",
                "/oh/share/x",
            ]
        );
        assert_eq!(found.name.as_str(), "a-b");
        assert_eq!(found.licences.expression.as_deref(), Some("MIT"));
        assert!(InstalledDistribution::parse(&dist_info, "Name: ..\n", record).is_err());
        assert!(InstalledDistribution::parse(&dist_info, metadata, "x\n").is_err());
    }
}
