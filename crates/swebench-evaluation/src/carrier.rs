//! Runs whose parts a registry carries: inputs to the shards, and results from them.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::assets::Assets;
use super::carried::{self, Depot, Part};
use super::outcome::Outcome;
use super::run_folder::RunFolderError;
use ohoci_compose::resolver::Resolver;
use ohoci_swebench::names;
use ohoci_swebench::predictions::GOLD;
use ohoci_swebench::row::Row;
use ohoci_swebench::way::{PARSER_FILE, SCRIPT_FILE};
use ohoci_swebench_images::engine::Shard;

/// What inputs are called on the way; behind it stands what the files' names end with.
const DATASET: &str = "dataset";
const PREDICTIONS: &str = "predictions";
const SPECS: &str = "specs";
const SCRIPTS: &str = "scripts";
const ASSETS: &str = "assets";

/// The files that a run starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The dataset: a file, a directory or a name.
    pub dataset: PathBuf,
    /// The predictions, or `gold`.
    pub predictions: String,
    /// How versions of repositories are tested.
    pub specs: Option<PathBuf>,
    /// A folder of scripts and parsers by instance.
    pub scripts: Option<PathBuf>,
    /// A folder of files of tests by instance.
    pub assets: Option<PathBuf>,
}

/// Carries parts of one run.
#[derive(Debug)]
pub(crate) struct Carrier<'a> {
    /// Where to.
    pub(crate) depot: Depot,
    /// The run.
    pub(crate) run_id: &'a str,
    /// What images are read and pushed with.
    pub(crate) resolver: &'a Resolver,
    /// Where files are kept as long as the run lasts.
    pub(crate) work_dir: &'a Path,
}

/// Why something cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The registry, or the layout.
    #[error(transparent)]
    Store(#[from] ohoci_store::Error),
    /// A folder's name.
    #[error(transparent)]
    Folder(#[from] RunFolderError),
    /// A file of this machine.
    #[error("cannot copy what a run starts from or leaves: {0}")]
    Io(#[from] io::Error),
}

impl Carrier<'_> {
    /// Pushes what shards start from. `dataset` are the files that the dataset comes to: itself, or several
    /// of one split; of the folders by instance goes what is there of `rows`.
    ///
    /// # Errors
    /// When a file cannot be read, or the registry does not take it.
    pub(crate) async fn push_inputs(
        &self,
        inputs: &Inputs,
        dataset: &[PathBuf],
        split: &str,
        rows: &[Row],
    ) -> Result<String, CarryError> {
        let folder = self.folder("inputs")?;
        let predictions = Path::new(&inputs.predictions);
        let predictions = Some(predictions).filter(|path| path.as_os_str() != GOLD);
        let files = [(PREDICTIONS, predictions), (SPECS, inputs.specs.as_deref())];
        let mut paths = Vec::new();
        for (path, name) in dataset_names(inputs, dataset, split) {
            if let Some(above) = folder.join(&name).parent() {
                fs_err::create_dir_all(above)?;
            }
            fs_err::copy(path, folder.join(&name))?;
            paths.push(name);
        }
        for (name, path) in files {
            let Some(path) = path else { continue };
            let name = PathBuf::from(name).with_extension(path.extension().unwrap_or_default());
            fs_err::copy(path, folder.join(&name))?;
            paths.push(name);
        }
        for (path, name) in by_instance(inputs, rows)? {
            if let Some(above) = folder.join(&name).parent() {
                fs_err::create_dir_all(above)?;
            }
            fs_err::copy(path, folder.join(&name))?;
            paths.push(name);
        }
        self.push(Part::Inputs, &folder, &paths).await
    }

    /// What a shard starts from, where its files are not on this machine.
    ///
    /// # Errors
    /// When the registry has it and it cannot be read or written.
    pub(crate) async fn fetch_inputs(&self, inputs: Inputs) -> Result<Inputs, CarryError> {
        if inputs.dataset.exists() {
            return Ok(inputs);
        }
        let folder = self.folder("fetched")?;
        if !self.pull(Part::Inputs, &folder).await? {
            return Ok(inputs);
        }
        let fetched = |name: &str, path: &Path| {
            let name = PathBuf::from(name).with_extension(path.extension().unwrap_or_default());
            folder.join(name)
        };
        Ok(Inputs {
            specs: inputs.specs.as_deref().map(|path| fetched(SPECS, path)),
            scripts: inputs.scripts.map(|_| folder.join(SCRIPTS)),
            assets: inputs.assets.map(|_| folder.join(ASSETS)),
            predictions: match inputs.predictions.as_str() {
                GOLD => inputs.predictions,
                path => fetched(PREDICTIONS, Path::new(path)).display().to_string(),
            },
            dataset: match folder.join(DATASET) {
                several if several.is_dir() => several,
                _ => fetched(DATASET, &inputs.dataset),
            },
        })
    }

    /// Pushes what a shard has left in the run's folder.
    ///
    /// # Errors
    /// When a file cannot be read, or the registry does not take it.
    pub(crate) async fn push_results(
        &self,
        run: &Path,
        shard: Shard,
        outcomes: &[Outcome],
    ) -> Result<String, CarryError> {
        let mut paths = Vec::new();
        for outcome in outcomes {
            let path = folder_of(&outcome.model, &outcome.instance_id)?;
            if run.join(&path).is_dir() {
                paths.push(path);
            }
        }
        self.push(Part::Results(shard), run, &paths).await
    }

    /// Takes what shards have pushed into the run's folder, in place of what was there of the same
    /// instances. `tasks` are the models and instances of the run, in its order. Returns the shards
    /// that have pushed nothing yet.
    ///
    /// # Errors
    /// When what was pushed cannot be read, or files cannot be written.
    pub(crate) async fn fetch_results(
        &self,
        run: &Path,
        shards: usize,
        tasks: &[(&str, &str)],
    ) -> Result<Vec<usize>, CarryError> {
        let mut missing = Vec::new();
        for index in 0..shards {
            let shard = Shard { index, of: shards };
            // On the run's own file system, so that what is taken only changes its name.
            let folder = tempfile::Builder::new()
                .prefix(".gathering-")
                .tempdir_in(run)?;
            if !self.pull(Part::Results(shard), folder.path()).await? {
                missing.push(index);
                continue;
            }
            for (_, (model, instance)) in tasks.iter().enumerate().filter(|(n, _)| shard.has(*n)) {
                let path = folder_of(model, instance)?;
                let found = folder.path().join(&path);
                if !found.is_dir() {
                    continue;
                }
                let place = run.join(&path);
                if place.exists() {
                    fs_err::remove_dir_all(&place)?;
                }
                if let Some(above) = place.parent() {
                    fs_err::create_dir_all(above)?;
                }
                fs_err::rename(found, place)?;
            }
        }
        Ok(missing)
    }

    /// Pushes a part, and says where it is now.
    async fn push(
        &self,
        part: Part,
        folder: &Path,
        paths: &[PathBuf],
    ) -> Result<String, CarryError> {
        let what = (self.run_id, part);
        let (resolver, work_dir) = (self.resolver, self.work_dir);
        let pushed = carried::push(&self.depot, what, folder, paths, resolver, work_dir).await;
        self.resolver.close().await;
        let (reference, digest) = pushed?;
        Ok(format!("{reference} ({digest})"))
    }

    async fn pull(&self, part: Part, folder: &Path) -> Result<bool, CarryError> {
        let what = (self.run_id, part);
        Ok(carried::pull(&self.depot, what, folder, self.resolver, self.work_dir).await?)
    }

    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.work_dir.join(name);
        fs_err::create_dir(&folder)?;
        Ok(folder)
    }
}

/// What the files of a dataset are called on the way. Those of a directory or of a name go into a
/// directory, by names that say their split.
fn dataset_names<'a>(
    inputs: &Inputs,
    files: &'a [PathBuf],
    split: &str,
) -> Vec<(&'a Path, PathBuf)> {
    let end = |path: &Path| path.extension().unwrap_or_default().to_owned();
    match files {
        [only] if *only == inputs.dataset => {
            vec![(only, PathBuf::from(DATASET).with_extension(end(only)))]
        }
        [only] => {
            let name = Path::new(DATASET).join(split).with_extension(end(only));
            vec![(only, name)]
        }
        several => {
            let several = several.iter().enumerate();
            several
                .map(|(number, path)| {
                    let name = format!("{split}-{number:05}");
                    let name = Path::new(DATASET).join(name).with_extension(end(path));
                    (path.as_path(), name)
                })
                .collect()
        }
    }
}

/// The files of rows in folders by instance, and what they are called on the way.
fn by_instance(inputs: &Inputs, rows: &[Row]) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    let assets = inputs.assets.clone().map(|given| Assets {
        given: Some(given),
        fetched: PathBuf::new(),
    });
    for row in rows {
        let id = &row.instance_id;
        if let Some(scripts) = &inputs.scripts {
            for name in [SCRIPT_FILE, PARSER_FILE] {
                let path = scripts.join(id).join(name);
                if path.is_file() {
                    found.push((path, Path::new(SCRIPTS).join(id).join(name)));
                }
            }
        }
        for asset in assets.iter().flat_map(|_| &row.way.assets) {
            let Some(path) = assets
                .as_ref()
                .and_then(|given| given.given_file(id, asset))
            else {
                continue;
            };
            let is_below = |part: Component<'_>| matches!(part, Component::Normal(_));
            if !Path::new(&asset.path).components().all(is_below) {
                let why = format!("{id}: its file {:?} lies outside of its folder", asset.path);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
            found.push((path, Path::new(ASSETS).join(id).join(&asset.path)));
        }
    }
    Ok(found)
}

/// Where an instance's files are in a run's folder.
fn folder_of(model: &str, instance: &str) -> Result<PathBuf, RunFolderError> {
    let directory =
        names::model_directory(model).map_err(|why| RunFolderError::model(model, why))?;
    Ok(Path::new(&directory).join(instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_dataset_keep_order_and_split_on_the_way() {
        let names = |dataset: &str, files: &[&str]| -> Vec<String> {
            let inputs = Inputs {
                dataset: dataset.into(),
                predictions: GOLD.to_owned(),
                specs: None,
                scripts: None,
                assets: None,
            };
            let files: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
            let names = dataset_names(&inputs, &files, "test").into_iter();
            names.map(|(_, name)| name.display().to_string()).collect()
        };
        assert_eq!(names("a/rows.jsonl", &["a/rows.jsonl"]), ["dataset.jsonl"]);
        assert_eq!(names("a", &["a/test.jsonl"]), ["dataset/test.jsonl"]);
        assert_eq!(
            names("verified", &["x/b.parquet", "x/c.parquet"]),
            ["dataset/test-00000.parquet", "dataset/test-00001.parquet"]
        );
    }
}
