//! What a base is given are links into a deps image, which have to lead somewhere, and its certificates.

use std::sync::Arc;

use crate::deps::Deps;
use crate::fit::{Detail, Fitted, Listing, first_text, trust};
use crate::job::Job;
use crate::layer_reader::LayerReader;
use ohoci_image::Platform;
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
    reader: LayerReader<'_>,
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
                expect_one(job, deps, &platform, (*detail, target), reader).await?;
            }
        }
    }
    Ok(())
}

/// For each base where the deps' bundle of certificates is, and what it says with those that only the base
/// has: `None` where there are none, where it is not asked for, and where no deps image has a bundle.
///
/// # Errors
/// When a layer of a deps image cannot be read.
pub(super) async fn bundles(
    job: &Job,
    deps: &[Arc<Deps>],
    listings: &[(Platform, Listing)],
    reader: LayerReader<'_>,
) -> Result<Vec<Option<(String, String)>>, Error> {
    let mut bundles = Vec::new();
    for (platform, listing) in listings {
        let base = trust::of_base(listing).filter(|_| job.fit.has(Detail::Trust));
        let prefix = match base {
            Some(_) => bundle_of(deps, platform, reader).await?,
            None => None,
        };
        let both = base.zip(prefix);
        bundles.push(
            both.and_then(|(base, (path, prefix))| Some((path, trust::merged(&prefix, base)?))),
        );
    }
    Ok(bundles)
}

async fn bundle_of(
    deps: &[Arc<Deps>],
    platform: &Platform,
    reader: LayerReader<'_>,
) -> Result<Option<(String, String)>, Error> {
    for one in deps {
        let image = one.image_for(platform).await?;
        let found = first_text(one.source.as_ref(), &image, trust::BUNDLE, reader).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

async fn expect_one(
    job: &Job,
    deps: &[Arc<Deps>],
    platform: &Platform,
    (detail, target): (Detail, &str),
    reader: LayerReader<'_>,
) -> Result<(), Error> {
    for one in deps {
        let image = one.image_for(platform).await?;
        if one
            .first_missing(&image, &[target], reader)
            .await?
            .is_none()
        {
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
