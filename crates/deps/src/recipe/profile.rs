//! A profile: the features of one deps image.

use serde::Deserialize;
use toml::Spanned;

use super::name::FeatureName;
use super::values::parsed_list;
use ohoci_image::Platform;
use ohoci_image::config_patch::ConfigPatch;

/// A profile, as it stands in `layers/NAME.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Its name, which is also that of its file.
    pub profile: Spanned<FeatureName>,
    /// What it is for, in a sentence.
    #[serde(default)]
    pub description: String,
    /// Where everything goes in the image.
    #[serde(default = "default_prefix")]
    pub prefix: Spanned<String>,
    /// The platforms to build for; empty is those that all its features can be built for.
    #[serde(default, deserialize_with = "parsed_list")]
    pub platforms: Vec<Platform>,
    /// The features, lowest layer first. What they require is added in front of them.
    pub features: Vec<Spanned<FeatureName>>,
    /// Changes to the image's config, over those of the features.
    #[serde(default)]
    pub patch: ConfigPatch,
}

/// The prefix of recipes that name none.
pub(super) const DEFAULT_PREFIX: &str = "/openhands";

fn default_prefix() -> Spanned<String> {
    Spanned::new(0..0, DEFAULT_PREFIX.to_owned())
}
