//! Where archives, paths in images, and packages of npm's and conda's of a lock are.

use std::sync::Arc;

use crate::conda::source::CondaMeans;
use crate::fetch::{FetchError, FetchErrorKind, Fetcher, Refusal, Wanted};
use crate::lock::{Lock, LockedFile, LockedSource, SourceKind};
use crate::locking::ImageMeans;
use crate::locking::elsewhere::{npm_place, place};
use crate::npm::registry::Registries;
use crate::recipe::{Feature, Recipe};
use ohoci_compose::layer_reader::LayerReader;
use ohoci_image::{Digest, Platform};

/// A file that cannot be had: what it is, the file, why.
type Lost = (String, LockedFile, FetchError);

fn lost(name: &str, file: &LockedFile, kind: FetchErrorKind, why: impl Into<String>) -> Lost {
    let refusal = Refusal {
        kind,
        mirror: String::new(),
        why: why.into(),
    };
    let error = FetchError::new(&file.path, vec![refusal]);
    (name.to_owned(), file.clone(), error)
}

/// What has to be downloaded. What comes from images and from channels of conda is taken from there here, since
/// nothing else can.
pub(super) async fn wanted(
    recipe: &Recipe,
    lock: &Lock,
    platforms: &[Platform],
    fetcher: &Fetcher,
    images: ImageMeans<'_>,
    npm: &Registries,
    conda: CondaMeans<'_>,
) -> Result<Vec<Wanted>, Vec<Lost>> {
    let mut wanted = Vec::new();
    let mut missing = Vec::new();
    for feature in &recipe.features {
        let name = feature.name.get_ref().as_str();
        for platform in platforms {
            for kind in SourceKind::ALL {
                for (source, file) in lock.source_files(kind, name, platform) {
                    let what = format!("{} for {platform}", source.name);
                    let mirror = match kind {
                        _ if fetcher.cached(file).is_some() => None,
                        SourceKind::Archive => feature
                            .archive
                            .iter()
                            .filter(|archive| archive.digest == file.digest)
                            .find_map(place)
                            .map(|(mirror, _)| mirror),
                        SourceKind::Npm => match npm_place(npm, &file.path) {
                            Ok((mirror, _)) => Some(mirror),
                            Err((why, _)) => {
                                missing.push(lost(&what, file, FetchErrorKind::Refused, why));
                                continue;
                            }
                        },
                        SourceKind::Conda => {
                            let taken = super::conda::take(feature, source, file, fetcher, conda);
                            if let Err((kind, why)) = taken.await {
                                missing.push(lost(&what, file, kind, why));
                            }
                            None
                        }
                        SourceKind::Image => {
                            let taken = take(feature, source, file, platform, fetcher, images);
                            if let Err(why) = taken.await {
                                missing.push(lost(&what, file, FetchErrorKind::Gone, why));
                            }
                            None
                        }
                    };
                    wanted.push(Wanted {
                        name: what,
                        file: file.clone(),
                        mirrors: mirror.into_iter().collect::<Arc<[_]>>(),
                    });
                }
            }
        }
    }
    match missing.is_empty() {
        true => Ok(wanted),
        false => Err(missing),
    }
}

/// Takes a path out of an image, as it was locked.
async fn take(
    feature: &Feature,
    source: &LockedSource,
    file: &LockedFile,
    platform: &Platform,
    fetcher: &Fetcher,
    images: ImageMeans<'_>,
) -> Result<(), String> {
    let image = feature.image.iter().find(|image| image.to == source.name);
    let image = image.ok_or("the recipe does not name the image any longer")?;
    let reference = image
        .reference
        .parse()
        .map_err(|error| format!("{error}"))?;
    let pin: Option<Digest> = source
        .version
        .as_deref()
        .and_then(|digest| digest.parse().ok());
    let deps = images.resolver.deps_at(&reference, pin.as_ref());
    let deps = deps.await.map_err(|error| error.to_string())?;
    let one = deps
        .image_for(platform)
        .await
        .map_err(|error| error.to_string())?;
    // What is taken has to be where files are looked for.
    let reader = LayerReader {
        cache: fetcher.cache(),
        ..images.resolver.reader()
    };
    let layer = deps
        .flattened(&one, &image.path, reader, images.work_dir)
        .await
        .map_err(|error| error.to_string())?;
    if layer.descriptor.digest == file.digest {
        return Ok(());
    }
    Err(format!(
        "{} in {} makes a layer {}, not {}",
        image.path, image.reference, layer.descriptor.digest, file.digest
    ))
}
