//! Levels in a repository of a registry or in an OCI layout, under the keys of what they were made from:
//! what machines share that build parts of one whole, and what another run goes on from.
//!
//! Each is an image of one layer, tagged `LEVEL-ARCHITECTURE-KEY`. Whoever may write there decides what is in
//! the images that are built from it.

use std::path::Path;
use std::sync::Arc;

use super::kept::KeptLayer;
use ohoci_compose::Observer;
use ohoci_compose::compose::compose;
use ohoci_compose::copy::{self, copy};
use ohoci_compose::job::Job;
use ohoci_compose::local::{LayerBytes, LocalLayer};
use ohoci_compose::read::{self, Choice};
use ohoci_compose::resolver::Resolver;
use ohoci_compose::watch::Unwatched;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::untagged::Untagged;
use ohoci_image::{Content, Descriptor, Digest, Reference};
use ohoci_store::{Error, ErrorKind, Origin};

/// The label with a level's key.
const KEY: &str = "ohoci.swebench.key";
/// The label with the bytes of its tar.
const UNCOMPRESSED: &str = "ohoci.swebench.uncompressed";

/// Where levels are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedLevels(Untagged);

impl From<Untagged> for SharedLevels {
    fn from(place: Untagged) -> Self {
        Self(place)
    }
}

impl SharedLevels {
    /// Where a level is.
    pub(crate) fn reference(&self, level: &str, key: &str) -> Result<Reference, Error> {
        // A key may be of an index of images for several architectures.
        let tag = format!("{level}-{}-{key}", std::env::consts::ARCH);
        self.0.tagged(&tag).map_err(|error| {
            let what = format!("cannot name a level in {}", self.0);
            Error::new(ErrorKind::Unsupported, what, error.to_string())
        })
    }

    /// The level that was made from this, if someone has left it.
    ///
    /// # Errors
    /// When the place cannot be read, or holds something else under that name.
    pub(crate) async fn find(
        &self,
        level: &str,
        key: &str,
        resolver: &Resolver,
    ) -> Result<Option<KeptLayer>, Error> {
        let reference = self.reference(level, key)?;
        let found = async {
            let source = resolver.source(&reference).await?;
            read::images(source, &Choice::Default, &|_, _| ()).await
        };
        let found = match found.await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let other = |why: &str| {
            let what = format!("cannot use {reference}");
            Error::new(ErrorKind::Unsupported, what, why.to_owned())
        };
        let image = found.images.into_iter().next();
        let image = image.ok_or_else(|| other("it holds no image"))?;
        let labels = image.config.document().object().get("config");
        let label = |name: &str| labels?.get("Labels")?.get(name)?.as_str();
        if label(KEY) != Some(key) {
            return Err(other("it is no level with this key"));
        }
        let (Content::Image { layers, .. }, [diff_id]) =
            (image.manifest.content(), image.config.diff_ids())
        else {
            return Err(other("it is no image of one layer"));
        };
        let [descriptor] = layers.as_slice() else {
            return Err(other("it is no image of one layer"));
        };
        let size = label(UNCOMPRESSED).and_then(|text| text.parse().ok());
        Ok(Some(KeptLayer {
            layer: LocalLayer {
                // As it was described where it was made: annotations are not the image's.
                descriptor: Descriptor::new(
                    descriptor.media_type.clone(),
                    descriptor.digest.clone(),
                    descriptor.size,
                ),
                diff_id: diff_id.clone(),
                from: LayerBytes::Image(Arc::clone(&found.source)),
                name: level.to_owned(),
                created_by: KeptLayer::created_by(level),
                directories: Vec::new(),
                platform: None,
                packing: None,
            },
            path: None,
            uncompressed: size.ok_or_else(|| other("it does not say how large its tar is"))?,
            from_cache: true,
        }))
    }

    /// Leaves a level for others.
    ///
    /// # Errors
    /// When the place cannot be written to.
    pub(crate) async fn put(
        &self,
        level: &str,
        key: &str,
        layer: &KeptLayer,
        resolver: &Resolver,
        work_dir: &Path,
    ) -> Result<(), Error> {
        let reference = self.reference(level, key)?;
        let mut patch = ConfigPatch::default();
        for (name, value) in [
            (KEY, key.to_owned()),
            (UNCOMPRESSED, layer.uncompressed.to_string()),
        ] {
            patch.labels.insert(name.to_owned(), Some(value));
        }
        let job = Job {
            layers: vec![layer.layer.clone()],
            push: vec![reference.clone()],
            patch,
            ..Job::on(Reference::Scratch, work_dir.to_owned())
        };
        let observer: Arc<dyn Observer> = Arc::new(Unwatched);
        Box::pin(compose(&job, resolver, &observer)).await?;
        self.note(resolver, [&layer.layer.descriptor.digest]);
        Ok(())
    }

    /// Has images that are pushed to the same registry mount these blobs from here.
    pub(crate) fn note<'a>(
        &self,
        resolver: &Resolver,
        blobs: impl IntoIterator<Item = &'a Digest>,
    ) {
        if let Untagged::Repository { host, repository } = &self.0 {
            let to = Origin {
                host: host.clone(),
                repository: repository.clone(),
            };
            resolver.note_pushed(&to, blobs);
        }
    }

    /// The image of a base that was assembled from this, if someone has left it.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub(crate) async fn find_base(
        &self,
        key: &str,
        resolver: &Resolver,
    ) -> Result<Option<Reference>, Error> {
        let reference = self.reference("base", key)?;
        match resolver.source(&reference).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(source) => match source.root().await {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
                Ok(_) => Ok(Some(reference)),
            },
        }
    }

    /// Leaves the image of a base for others, byte for byte.
    ///
    /// # Errors
    /// When the image cannot be read, or the place not be written to.
    pub(crate) async fn put_base(
        &self,
        key: &str,
        image: &Reference,
        resolver: &Resolver,
        work_dir: &Path,
    ) -> Result<Reference, Error> {
        let reference = self.reference("base", key)?;
        let job = copy::Job {
            from: image.clone(),
            to: vec![reference.clone()],
            platform: None,
            no_upload: false,
            referrers: false,
            compression: None,
            work_dir: work_dir.to_owned(),
        };
        let observer: Arc<dyn Observer> = Arc::new(Unwatched);
        Box::pin(copy(&job, resolver, &observer)).await?;
        Ok(reference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_has_a_tag_of_its_own() {
        let place: Reference = "registry.example/a/levels".parse().unwrap();
        let levels = SharedLevels::from(Untagged::try_from(place).unwrap());
        let key = "0".repeat(64);
        let arch = std::env::consts::ARCH;
        assert_eq!(
            levels.reference("history", &key).unwrap().to_string(),
            format!("registry.example/a/levels:history-{arch}-{key}")
        );
    }
}
