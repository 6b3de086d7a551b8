//! What a project wants by default: the `[compose]` table of `ohoci.toml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::Error as _;

use ohoci_image::label::Position;
use ohoci_image::{Platform, Reference};

/// Defaults for the flags of `ohoci compose` of the same names. `None` or empty is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComposeDefaults {
    /// The image to put layers on.
    #[serde(deserialize_with = "optional_parsed")]
    pub base: Option<Reference>,
    /// Where the result goes.
    #[serde(deserialize_with = "parsed")]
    pub push: Vec<Reference>,
    /// Images whose layers are put on the base.
    #[serde(deserialize_with = "parsed")]
    pub deps: Vec<Reference>,
    /// Local layers, `[PLATFORM=]PATH[:DEST]` each.
    pub layer: Vec<String>,
    /// The platforms to compose for.
    #[serde(deserialize_with = "parsed")]
    pub platform: Vec<Platform>,
    /// Whether to compose for every platform that the base has.
    pub all_platforms: Option<bool>,
    /// Where the layers go.
    pub position: Option<Position>,
    /// Environment variables to set.
    pub env: BTreeMap<String, String>,
    /// Environment variables to remove.
    pub unset_env: Vec<String>,
    /// The entrypoint's words.
    pub entrypoint: Option<Vec<String>>,
    /// Whether a new entrypoint leaves the base's command as it is.
    pub keep_cmd: Option<bool>,
    /// The command's words.
    pub cmd: Option<Vec<String>>,
    /// The user, and the group behind a colon.
    pub user: Option<String>,
    /// The working directory.
    pub workdir: Option<String>,
    /// Labels to set.
    pub label: BTreeMap<String, String>,
    /// Manifest annotations to set.
    pub annotation: BTreeMap<String, String>,
    /// Ports to declare, such as `8000/tcp`.
    pub expose: Vec<String>,
    /// Directories to declare as volumes.
    pub volume: Vec<String>,
    /// The signal that asks the container to stop.
    pub stop_signal: Option<String>,
    /// What to do when the tag is taken.
    pub if_exists: Option<IfExists>,
    /// Whether to fail rather than move layer bytes.
    pub no_upload: Option<bool>,
}

/// What to do when a reference to push to exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfExists {
    /// Move it to the new image.
    #[default]
    Replace,
    /// Leave it as it is and succeed.
    Skip,
    /// Leave it as it is and fail.
    Fail,
}

impl ComposeDefaults {
    /// Makes paths relative to `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        for reference in (self.base.iter_mut())
            .chain(&mut self.push)
            .chain(&mut self.deps)
        {
            match reference {
                Reference::Layout { path, .. }
                | Reference::OciArchive { path, .. }
                | Reference::DockerArchive { path, .. } => *path = directory.join(&*path),
                Reference::Registry(_) | Reference::Scratch => {}
            }
        }
        for layer in &mut self.layer {
            let (platform, path) = match Platform::in_front_of(layer) {
                Some((platform, path)) => (format!("{platform}="), path),
                None => (String::new(), layer.as_str()),
            };
            *layer = platform + &directory.join(path).to_string_lossy();
        }
    }
}

struct Parsed<T>(T);

impl<'de, T: FromStr<Err: std::fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map(Self)
            .map_err(D::Error::custom)
    }
}

fn parsed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    let items = Vec::<Parsed<T>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|item| item.0).collect())
}

fn optional_parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr<Err: std::fmt::Display>,
{
    Ok(Option::<Parsed<T>>::deserialize(deserializer)?.map(|item| item.0))
}
