//! What a base is given are links into a deps image: they have to lead somewhere.

use std::sync::Arc;

use crate::deps::Deps;
use crate::fit::{Detail, Fitted};
use crate::job::Job;
use ohoci_image::Platform;
use ohoci_store::cache::Cache;
use ohoci_store::{Error, ErrorKind};

/// Where the tools are, without a slash in front.
const TOOLS: &[u8] = b"openhands/tools/bin";

/// Refuses to give bases links that lead nowhere. Nothing is refused where local layers bring
/// the tools, or where only local layers are put on the base: their files are not known here.
///
/// # Errors
/// When no deps image has what a link leads to, or one cannot be read.
pub(super) async fn expect(
    job: &Job,
    deps: &[Arc<Deps>],
    fitted: &[Fitted],
    cache: &Cache,
) -> Result<(), Error> {
    let mut local = job.layers.iter().flat_map(|layer| &layer.directories);
    if deps.is_empty() || local.any(|path| path.as_bytes() == TOOLS) {
        return Ok(());
    }
    for Fitted {
        platform, added, ..
    } in fitted
    {
        let Ok(platform) = platform.parse::<Platform>() else {
            continue;
        };
        for detail in added {
            if let Some(target) = detail.target() {
                expect_one(job, deps, &platform, (*detail, target), cache).await?;
            }
        }
    }
    Ok(())
}

async fn expect_one(
    job: &Job,
    deps: &[Arc<Deps>],
    platform: &Platform,
    (detail, target): (Detail, &str),
    cache: &Cache,
) -> Result<(), Error> {
    for one in deps {
        let image = one.image_for(platform).await?;
        if one.first_missing(&image, &[target], cache).await?.is_none() {
            return Ok(());
        }
    }
    let names: Vec<String> = job.deps.iter().map(ToString::to_string).collect();
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("cannot give {} what it lacks ({})", job.base, detail.name()),
        format!(
            "it would be a link to {target}, which {} does not have",
            names.join(", ")
        ),
    )
    .hinted(
        "a deps image whose recipe has the feature `core` brings the tools; --fit none, or a list, \
         leaves this out",
    ))
}
