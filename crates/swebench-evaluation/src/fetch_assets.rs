//! Fetches files of tests that no patch holds, before anything runs.

use std::path::Path;
use std::sync::Arc;

use url::Url;

use super::assets::Assets;
use super::observer::Observer;
use super::run::Task;
use ohoci_compose::Unwatched;
use ohoci_deps::fetch::Fetcher;
use ohoci_deps::hosts::Mirror;
use ohoci_store::cache::Cache;
use ohoci_swebench::way::Asset;
use ohoci_swebench_images::request::Means;

/// Where they are kept, in the cache.
const FOLDER: &str = "swebench/assets";

/// The largest that is fetched, in bytes.
const LARGEST: u64 = 64 << 20;

/// Finds the files of all tasks; what cannot be had is said, and its instances are not graded.
pub(super) async fn find(
    given: Option<&Path>,
    tasks: &mut [Task<'_>],
    means: &Means<'_>,
    observer: &dyn Observer,
) -> Assets {
    let kept = means.cache_dir.as_deref().unwrap_or(&means.work_dir);
    let assets = Assets {
        given: given.map(Path::to_owned),
        fetched: kept.join(FOLDER),
    };
    let cache = Arc::new(Cache::new(kept.to_owned()));
    let fetcher = Fetcher::new(cache, Arc::new(Unwatched)).with_policy(means.retry);
    for task in tasks.iter_mut() {
        let row = task.row;
        if task.script.is_err() || task.prediction.is_empty() {
            continue;
        }
        for asset in &row.way.assets {
            if assets.find(&row.instance_id, asset).is_some() {
                continue;
            }
            if let Err(why) = fetch(&fetcher, &assets, asset).await {
                let why = format!(
                    "its file {} (image_assets) cannot be had: {why}; --assets DIR has it at {}/{0}",
                    asset.path, row.instance_id
                );
                observer.warned(&format!("{} cannot be graded: {why}", row.instance_id));
                task.script = Err(why);
                break;
            }
        }
    }
    assets
}

/// Fetches one into the cache.
async fn fetch(fetcher: &Fetcher, assets: &Assets, asset: &Asset) -> Result<(), String> {
    let (Some(url), Some(path)) = (&asset.url, assets.of_url(asset)) else {
        return Err("the row does not say where it is".to_owned());
    };
    let url: Url = url.parse().map_err(|error| format!("{url}: {error}"))?;
    let mut base = url.clone();
    base.set_path("/");
    let mirror = Mirror { base, login: None };
    let content = fetcher
        .small(&mirror, url.path().trim_start_matches('/'), LARGEST)
        .await
        .map_err(|error| error.why())?;
    let keep = || -> std::io::Result<()> {
        fs_err::create_dir_all(&assets.fetched)?;
        let mut file = tempfile::NamedTempFile::new_in(&assets.fetched)?;
        std::io::Write::write_all(&mut file, &content)?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    keep().map_err(|error| error.to_string())
}
