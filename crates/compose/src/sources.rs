//! Opens sources, whatever any policy says.

use std::sync::Arc;

use ohoci_image::Reference;
use ohoci_layer::limits::UnpackLimits;
use ohoci_registry::Client;
use ohoci_store::cache::Cache;
use ohoci_store::registry::RegistrySource;
use ohoci_store::{Error, ErrorKind, Source};

/// What opens sources, whatever any policy says.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) client: Client,
    pub(crate) cache: Arc<Cache>,
    /// What an archive may come to when it is unpacked.
    pub(crate) limits: UnpackLimits,
}

impl Sources {
    /// Opens an image for reading. Nothing is read yet.
    pub(crate) async fn open(&self, reference: &Reference) -> Result<Arc<dyn Source>, Error> {
        match reference {
            Reference::Registry(registry) => {
                let repository = self
                    .client
                    .repository(registry.host(), registry.repository());
                Ok(Arc::new(RegistrySource::new(
                    repository,
                    registry.clone(),
                    Arc::clone(&self.cache),
                )))
            }
            Reference::Scratch => Err(Error::new(
                ErrorKind::Unsupported,
                "cannot read scratch",
                "scratch is the empty base of compose; there is nothing to read",
            )),
            local => ohoci_store::open::open_source(local, self.limits)
                .await?
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::Unsupported,
                        format!("cannot read {local}"),
                        "it is no local place",
                    )
                }),
        }
    }
}
