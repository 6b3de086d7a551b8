//! What this machine has for SWE-bench's commands.

use std::sync::Arc;

use crate::compose::epoch;
use crate::context::{SharedContext, policy};
use crate::deps;
use crate::failure::Failure;
use crate::progress::Progress;
use ohoci_compose::Observer;
use ohoci_swebench_images::request::Means;

/// What images are built with.
pub(super) fn means<'a>(
    context: &'a SharedContext,
    progress: &Arc<Progress>,
) -> Result<Means<'a>, Failure> {
    Ok(Means {
        resolver: Arc::clone(&context.resolver),
        mirrors: context.config.mirrors(),
        environment: &context.environment,
        variables: std::env::vars_os().collect(),
        work_dir: context.work_dir.clone(),
        cache_dir: context.cache_dir.clone(),
        store: context.store.clone(),
        retry: policy(&context.config),
        now: deps::now(),
        created: epoch(&context.environment)?,
        downloads: Arc::clone(progress) as Arc<dyn Observer>,
    })
}
