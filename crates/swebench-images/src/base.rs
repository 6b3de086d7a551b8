//! The base level: an image that has what builds and evaluations need.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use super::error::{BuildError, Level, at};
use ohoci_compose::files::installed_packages;
use ohoci_compose::fit::files_of;
use ohoci_compose::flatten;
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_image::image_config::ImageConfig;
use ohoci_image::{Content, Descriptor, Digest, Platform, Reference};
use ohoci_layer::LayerPath;
use ohoci_sandbox::{RemovedDirectory, Root};
use ohoci_unpack::{Owners, find_image, unpack};

/// What every base has to have: upstream's scripts and the harness start them.
const TOOLS: [&str; 7] = ["bash", "git", "patch", "sed", "cat", "rm", "env"];

/// Where programs are looked for.
const DIRECTORIES: [&str; 4] = ["/bin", "/usr/bin", "/usr/local/bin", "/sbin"];

/// Where Debian keeps the list of its packages.
const PACKAGES: &str = "/var/lib/dpkg/status";
/// How much of that is read, in bytes: several times what the whole of Debian would come to.
const MOST: u64 = 256 << 20;

/// A base image, unpacked when it is first needed.
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
    files: OnceCell<(PathBuf, Option<RemovedDirectory>)>,
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
            files: OnceCell::new(),
        })
    }

    /// The packages of the system that it has: none where there is no list of Debian's. Its layers are
    /// read, each once on one machine.
    ///
    /// # Errors
    /// When a layer cannot be read.
    pub async fn packages(
        &self,
        resolver: &Resolver,
    ) -> Result<BTreeSet<String>, ohoci_store::Error> {
        let choice = self.platform.as_ref().map_or(Choice::Default, |platform| {
            Choice::Platforms(vec![platform.clone()])
        });
        let source = resolver
            .source_at(&self.reference, Some(&self.digest))
            .await?;
        let found = read::images(source, &choice, &|_, _| ()).await?;
        let Some(image) = found.images.first() else {
            return Ok(BTreeSet::new());
        };
        let files = files_of(found.source.as_ref(), image, resolver.reader()).await?;
        Ok(files
            .packages()
            .unwrap_or_default()
            .iter()
            .cloned()
            .collect())
    }

    /// Its files, as a directory that is never written to. They stay in `kept` for later runs, if it is
    /// given.
    ///
    /// # Errors
    /// When it cannot be unpacked, or lacks something that is needed.
    pub async fn files(
        &self,
        resolver: &Resolver,
        work_dir: &Path,
        kept: Option<&Path>,
    ) -> Result<PathBuf, BuildError> {
        let files = self
            .files
            .get_or_try_init(|| self.unpacked(resolver, work_dir, kept));
        Ok(files.await?.0.clone())
    }

    async fn unpacked(
        &self,
        resolver: &Resolver,
        work_dir: &Path,
        kept: Option<&Path>,
    ) -> Result<(PathBuf, Option<RemovedDirectory>), BuildError> {
        let step = "unpack";
        let place = kept.map(|kept| kept.join(self.digest.hex()));
        if let Some(place) = place.as_ref().filter(|place| place.is_dir()) {
            return Ok((place.clone(), None));
        }
        let fail = |error: ohoci_store::Error| {
            let failed = BuildError::new(Level::Base, error.what(), error.why());
            match error.hint() {
                Some(hint) => failed.hinted(hint),
                None => failed,
            }
        };
        let pinned = match &self.reference {
            Reference::Registry(reference) => Reference::Registry(reference.at(&self.digest)),
            other => other.clone(),
        };
        let work_dir = work_dir.join("base");
        fs_err::create_dir_all(&work_dir).map_err(at(Level::Base, step))?;
        let parent = kept.map_or_else(std::env::temp_dir, Path::to_owned);
        fs_err::create_dir_all(&parent).map_err(at(Level::Base, step))?;
        let image = find_image(resolver, &pinned, self.platform.as_ref())
            .await
            .map_err(fail)?;
        let directory = image.unpack(&work_dir, &parent).await.map_err(fail)?;
        check(directory.path())?;
        match place {
            None => Ok((directory.path().to_owned(), Some(directory))),
            Some(place) => {
                keep(directory, &place).map_err(at(Level::Base, step))?;
                Ok((place, None))
            }
        }
    }

    /// An image's whole root file system as a directory: the base's layers and these.
    ///
    /// # Errors
    /// When a layer cannot be read or written.
    pub(crate) async fn write_root(
        &self,
        resolver: &Resolver,
        layers: &[PathBuf],
        to: &Path,
        work_dir: &Path,
    ) -> Result<(), BuildError> {
        let step = "write the root directory";
        let fail =
            |error: ohoci_store::Error| BuildError::new(Level::Base, error.what(), error.why());
        let source = resolver
            .source_at(&self.reference, Some(&self.digest))
            .await
            .map_err(fail)?;
        let mut files = Vec::new();
        for (number, layer) in self.layers.iter().enumerate() {
            let path = work_dir.join(format!("root-layer-{number}"));
            if !path.is_file() {
                flatten::spool(source.as_ref(), layer, path.clone())
                    .await
                    .map_err(fail)?;
            }
            files.push(path);
        }
        files.extend(layers.iter().cloned());
        tokio::task::block_in_place(|| {
            let tree = flatten::tree(&files, &LayerPath::root(), (work_dir, resolver.limits))
                .map_err(at(Level::Base, step))?;
            fs_err::create_dir_all(to)
                // Its own entry, where the layers have one, says otherwise.
                .and_then(|()| fs_err::set_permissions(to, PermissionsExt::from_mode(0o755)))
                .map_err(at(Level::Base, step))?;
            unpack(tree, to, Owners::Own, &|| true).map_err(at(Level::Base, step))?;
            Ok(())
        })
    }

    /// Packages of the system that the base does not have.
    #[must_use]
    pub fn lacks(files: &Path, packages: &[String]) -> Vec<String> {
        let status = Root::open(files)
            .ok()
            .and_then(|root| root.read_up_to(Path::new(PACKAGES), MOST).ok().flatten());
        let installed = installed_packages(status.as_deref().unwrap_or_default());
        let lacks = |package: &&String| !installed.contains(package);
        packages.iter().filter(lacks).cloned().collect()
    }
}

/// Lets a directory stay under a name. Another run may have been the first to.
pub(super) fn keep(directory: RemovedDirectory, place: &Path) -> std::io::Result<()> {
    match directory.keep_as(place) {
        Err(error) if !place.is_dir() => Err(error),
        _ => Ok(()),
    }
}

fn check(files: &Path) -> Result<(), BuildError> {
    let root = Root::open(files).map_err(at(Level::Base, "look for tools"))?;
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

    #[test]
    fn packages_that_are_not_installed_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("var/lib/dpkg");
        fs_err::create_dir_all(&list).unwrap();
        let status = "Package: locales\nStatus: install ok installed\n\nPackage: gone\nStatus: \
                      deinstall ok config-files\n";
        fs_err::write(list.join("status"), status).unwrap();
        let wanted = ["locales", "gone", "other"].map(str::to_owned);
        assert_eq!(Base::lacks(directory.path(), &wanted), ["gone", "other"]);
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
        assert_eq!(Base::lacks(directory.path(), &wanted), wanted);
    }

    #[test]
    fn a_base_without_tools_is_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("usr/bin");
        fs_err::create_dir_all(&bin).unwrap();
        for tool in ["bash", "sed", "cat", "rm", "env", "patch"] {
            fs_err::write(bin.join(tool), "").unwrap();
        }
        let error = check(directory.path()).unwrap_err();
        assert_eq!(error.why, "the base image has no git");
    }
}
