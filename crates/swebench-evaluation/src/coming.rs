//! Images that are still being built while other instances are evaluated already.

use std::collections::HashMap;

use tokio::sync::watch;

use ohoci_swebench_images::BuildError;
use ohoci_swebench_images::observer::Observer;
use ohoci_swebench_images::report::ImageOutcome;

/// `None` until it is known.
type State = Option<Result<(), BuildError>>;

/// The images that are to come, by instance. Whoever builds them tells it as an [`Observer`].
#[derive(Debug, Default)]
pub(crate) struct Coming {
    images: HashMap<String, watch::Sender<State>>,
}

impl Coming {
    /// None of these is there yet.
    pub(crate) fn new<'a>(instance_ids: impl IntoIterator<Item = &'a str>) -> Self {
        let images = instance_ids.into_iter();
        Self {
            images: images
                .map(|id| (id.to_owned(), watch::Sender::new(None)))
                .collect(),
        }
    }

    /// Whether an instance's image is one of them.
    pub(crate) fn has(&self, instance_id: &str) -> bool {
        self.images.contains_key(instance_id)
    }

    /// Waits until an instance's image is there, which one that is not to come is already.
    ///
    /// # Errors
    /// Why it was not built.
    pub(crate) async fn wait_for(&self, instance_id: &str) -> Result<(), BuildError> {
        let Some(image) = self.images.get(instance_id) else {
            return Ok(());
        };
        let mut state = image.subscribe();
        // The sender lasts as long as this, so that the wait cannot end without a state.
        let state = state.wait_for(Option::is_some).await;
        state.map_or(Ok(()), |state| (*state).clone().unwrap_or(Ok(())))
    }
}

impl Observer for Coming {
    fn ended(&self, outcome: &ImageOutcome) {
        if let Some(image) = self.images.get(&outcome.instance_id) {
            image.send_replace(Some(outcome.error.clone().map_or(Ok(()), Err)));
        }
    }
}
