//! The bills of materials of what was built, as documents about its images.

use super::{cyclonedx, spdx};
use crate::lock::Lock;
use crate::recipe::Recipe;
use ohoci_image::referrer::Artifact;
use ohoci_image::{Platform, media_type};

/// Two for each platform, of the recipe's features.
pub(crate) fn documents<'a>(
    recipe: &Recipe,
    lock: &Lock,
    platforms: impl IntoIterator<Item = &'a Platform>,
) -> Vec<(Platform, Artifact)> {
    let features: Vec<&str> = recipe
        .features
        .iter()
        .map(|feature| feature.name.get_ref().as_str())
        .collect();
    let of_platform = |platform: &'a Platform| {
        let name = format!("{}-{}", recipe.name, platform.to_string().replace('/', "-"));
        [
            ("spdx", media_type::SPDX, spdx(lock, &features, platform)),
            (
                "cdx",
                media_type::CYCLONEDX,
                cyclonedx(lock, &features, platform),
            ),
        ]
        .map(|(kind, media_type, document)| {
            let artifact = Artifact {
                media_type,
                title: format!("{name}.{kind}.json"),
                content: format!("{document:#}\n").into(),
            };
            (platform.clone(), artifact)
        })
    };
    platforms.into_iter().flat_map(of_platform).collect()
}
