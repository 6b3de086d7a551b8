//! The base level: an image that has what builds and evaluations need.

use std::path::Path;

use tokio::sync::OnceCell;

use super::error::{BuildError, Level};
use ohoci_compose::compose::ImageLayer;
use ohoci_compose::files::InstalledPackages;
use ohoci_compose::fit::files_of;
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::{Content, Descriptor, Digest, Platform, Reference};
use ohoci_sandbox::Root;
use ohoci_unpack::find_image;

/// What every base has to have: upstream's scripts and the harness start them.
const TOOLS: [&str; 7] = ["bash", "git", "patch", "sed", "cat", "rm", "env"];

/// Where programs are looked for.
const DIRECTORIES: [&str; 4] = ["/bin", "/usr/bin", "/usr/local/bin", "/sbin"];

/// Where Debian keeps the list of its packages.
const PACKAGES: &str = "/var/lib/dpkg/status";
/// How much of that is read, in bytes: several times what the whole of Debian would come to.
const MOST: u64 = 256 << 20;

/// A base image.
#[derive(Debug)]
pub struct Base {
    /// What it was called.
    pub reference: Reference,
    /// What that named: the index, if it was one.
    pub digest: Digest,
    /// Its config.
    pub config: ImageConfig,
    /// Its layers, lowest first.
    pub layers: Vec<Descriptor>,
    platform: Option<Platform>,
    unpacked: OnceCell<Vec<ImageLayer>>,
}

impl Base {
    /// Reads the image's documents; no layer moves.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn open(
        resolver: &Resolver,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Self, ohoci_store::Error> {
        let choice = platform.map_or(Choice::Default, |platform| {
            Choice::Platforms(vec![platform.clone()])
        });
        resolver.announce(&[reference], &[]);
        let source = resolver.source(reference).await?;
        let found = read::images(source, &choice, &|_, _| ()).await?;
        let image = found.images.into_iter().next().ok_or_else(|| {
            ohoci_store::Error::new(
                ohoci_store::ErrorKind::Unsupported,
                format!("cannot use {reference} as a base"),
                "it holds no image",
            )
        })?;
        let layers = match image.manifest.content() {
            Content::Image { layers, .. } => layers.clone(),
            Content::Index { .. } => Vec::new(),
        };
        Ok(Self {
            reference: reference.clone(),
            digest: found.root.digest().clone(),
            config: image.config,
            layers,
            platform: platform.cloned(),
            unpacked: OnceCell::new(),
        })
    }

    /// Its reference, by digest where it can be.
    #[must_use]
    pub(crate) fn pinned(&self) -> Reference {
        match &self.reference {
            Reference::Registry(reference) => Reference::Registry(reference.at(&self.digest)),
            other => other.clone(),
        }
    }

    /// The packages of the system that it has: none where there is no list of Debian's. Its layers are
    /// read, each once on one machine.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub async fn packages(
        &self,
        resolver: &Resolver,
    ) -> Result<InstalledPackages, ohoci_store::Error> {
        let choice = self.platform.as_ref().map_or(Choice::Default, |platform| {
            Choice::Platforms(vec![platform.clone()])
        });
        let source = resolver
            .source_at(&self.reference, Some(&self.digest))
            .await?;
        let found = read::images(source, &choice, &|_, _| ()).await?;
        let Some(image) = found.images.first() else {
            return Ok(InstalledPackages::default());
        };
        let files = files_of(found.source.as_ref(), image, resolver.reader()).await?;
        Ok(files.packages().cloned().unwrap_or_default())
    }

    /// Its layers with where their bytes come from, lowest first.
    ///
    /// # Errors
    /// When its documents cannot be read.
    pub(crate) async fn image_layers(
        &self,
        resolver: &Resolver,
    ) -> Result<Vec<ImageLayer>, ohoci_store::Error> {
        let found = self.unpacked.get_or_try_init(async || {
            let pinned = self.pinned();
            let image = find_image(resolver, &pinned, self.platform.as_ref()).await?;
            image.layers()
        });
        Ok(found.await?.clone())
    }

    /// Packages of the system that the base does not have.
    #[must_use]
    pub(crate) fn lacks(files: &Root, packages: &[String]) -> Vec<String> {
        let status = files.read_up_to(Path::new(PACKAGES), MOST).ok().flatten();
        let installed = InstalledPackages::of(status.as_deref().unwrap_or_default());
        let lacks = |package: &&String| !installed.names.contains(package);
        packages.iter().filter(lacks).cloned().collect()
    }
}

/// Looks whether a base has what builds and evaluations need.
///
/// # Errors
/// When it lacks something.
pub(crate) fn check(root: &Root) -> Result<(), BuildError> {
    let has = |name: &str| {
        let mut paths = DIRECTORIES
            .iter()
            .map(|directory| Path::new(directory).join(name));
        paths.any(|path| root.find(&path).is_some())
    };
    let missing: Vec<&str> = TOOLS.into_iter().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(BuildError::new(
        Level::Base,
        "look for tools",
        format!("the base image has no {}", missing.join(", no ")),
    )
    .hinted("take a base that has them, such as Debian with the packages bash, git and patch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(directory: &tempfile::TempDir) -> Root {
        Root::open(directory.path()).unwrap()
    }

    #[test]
    fn packages_that_are_not_installed_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("var/lib/dpkg");
        fs_err::create_dir_all(&list).unwrap();
        let status = "Package: locales\nStatus: install ok installed\n\nPackage: gone\nStatus: \
                      deinstall ok config-files\n";
        fs_err::write(list.join("status"), status).unwrap();
        let wanted = ["locales", "gone", "other"].map(str::to_owned);
        assert_eq!(Base::lacks(&root(&directory), &wanted), ["gone", "other"]);
    }

    #[test]
    fn the_list_of_packages_is_the_bases_own() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let status = "Package: locales\nStatus: install ok installed\n";
        fs_err::write(outside.path().join("status"), status).unwrap();
        fs_err::create_dir_all(directory.path().join("var/lib")).unwrap();
        let link = directory.path().join("var/lib/dpkg");
        fs_err::os::unix::fs::symlink(outside.path(), link).unwrap();
        let wanted = ["locales".to_owned()];
        assert_eq!(Base::lacks(&root(&directory), &wanted), wanted);
    }

    #[test]
    fn a_base_without_tools_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("usr/bin");
        fs_err::create_dir_all(&bin).unwrap();
        for tool in ["bash", "sed", "cat", "rm", "env", "patch"] {
            fs_err::write(bin.join(tool), "").unwrap();
        }
        let error = check(&root(&directory)).unwrap_err();
        assert_eq!(error.why, "the base image has no git");
    }
}
