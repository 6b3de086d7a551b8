//! A place whose images are let in by the policy, or not read.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use ohoci_image::image_config::ImageConfig;
use ohoci_image::{Descriptor, Digest, Document, Manifest, Platform, Reference, media_type, shape};
use ohoci_store::{Body, Error, Origin, Source};

use super::gate::Gate;
use crate::read;
use crate::sources::Sources;

/// A source behind the policy: its root is read only where that accepts it.
#[derive(Debug)]
pub(crate) struct Guarded {
    inner: Arc<dyn Source>,
    image: Reference,
    sources: Sources,
    gate: Arc<Gate>,
}

impl Guarded {
    /// The source itself where the policy asks for nothing.
    pub(crate) fn source(
        inner: Arc<dyn Source>,
        image: &Reference,
        sources: &Sources,
        gate: &Arc<Gate>,
    ) -> Arc<dyn Source> {
        if !gate.asks(image) {
            return inner;
        }
        Arc::new(Self {
            inner,
            image: image.clone(),
            sources: sources.clone(),
            gate: Arc::clone(gate),
        })
    }

    /// What is no platform of an image, such as that of BuildKit's attestations, is none here.
    fn admit_platform(&self, platform: &Platform) -> Result<(), Error> {
        if platform.os == "unknown" {
            return Ok(());
        }
        self.gate.admit_platform(&self.image, platform)
    }
}

#[async_trait]
impl Source for Guarded {
    fn place(&self) -> String {
        self.inner.place()
    }

    fn origin(&self) -> Option<Origin> {
        self.inner.origin()
    }

    async fn root(&self) -> Result<Manifest, Error> {
        let root = self.inner.root().await?;
        self.gate
            .admit(
                &self.sources,
                self.inner.as_ref(),
                &self.image,
                root.digest(),
            )
            .await?;
        Ok(root)
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, Error> {
        if let Some(platform) = &descriptor.platform {
            self.admit_platform(platform)?;
        }
        self.inner.manifest(descriptor).await
    }

    async fn document(&self, descriptor: &Descriptor) -> Result<Bytes, Error> {
        let bytes = self.inner.document(descriptor).await?;
        if media_type::is_image_config(&descriptor.media_type)
            && let Ok(document) = Document::parse(bytes.clone(), &shape::CONFIG)
            && let Ok((config, assumed)) =
                ImageConfig::parse_assuming(document, &read::this_machine())
            && !assumed
        {
            self.admit_platform(config.platform())?;
        }
        Ok(bytes)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        self.inner.referrers(subject).await
    }

    async fn tagged_about(&self, subjects: &[Digest]) -> Result<Vec<(String, Manifest)>, Error> {
        self.inner.tagged_about(subjects).await
    }

    fn blob(&self, descriptor: &Descriptor) -> Arc<dyn Body> {
        self.inner.blob(descriptor)
    }
}
