//! Runs whose parts a registry carries: inputs to the shards, and results from them.

use std::path::{Path, PathBuf};

use super::Arguments;
use super::record::Inputs;
use crate::arguments::RegistryArguments;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use ohoci_swebench::names;
use ohoci_swebench::predictions::GOLD;
use ohoci_swebench_evaluation::Outcome;
use ohoci_swebench_evaluation::carried::{self, Depot, Part};
use ohoci_swebench_evaluation::engine::Shard;

/// What inputs are called on the way; behind it stands what the files' names end with.
const DATASET: &str = "dataset";
const PREDICTIONS: &str = "predictions";
const SPECS: &str = "specs";

/// Carries parts of one run.
#[derive(Debug)]
pub(super) struct Carrier {
    depot: Depot,
    run_id: String,
    context: Context,
}

impl Carrier {
    /// What `--results` asks for; `None` where it is not given.
    pub(super) fn open(
        arguments: &Arguments,
        registry: &RegistryArguments,
    ) -> Result<Option<Self>, Failure> {
        let Some(text) = &arguments.engine.results else {
            return Ok(None);
        };
        let depot =
            Depot::new(text.parse()?).map_err(|why| Failure::usage(format!("--results: {why}")))?;
        Ok(Some(Self {
            depot,
            run_id: arguments.run_id.clone(),
            context: Context::open(registry)?,
        }))
    }

    /// Pushes what shards start from.
    pub(super) async fn push_inputs(
        &self,
        inputs: &Inputs,
        specs: Option<&Path>,
    ) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new("cannot copy inputs", error.to_string());
        let folder = self.folder("inputs")?;
        let predictions = Path::new(&inputs.predictions);
        let predictions = Some(predictions).filter(|path| path.as_os_str() != GOLD);
        let files = [
            (DATASET, Some(inputs.dataset.as_path())),
            (PREDICTIONS, predictions),
            (SPECS, specs),
        ];
        let mut paths = Vec::new();
        for (name, path) in files {
            let Some(path) = path else { continue };
            let name = PathBuf::from(name).with_extension(path.extension().unwrap_or_default());
            fs_err::copy(path, folder.join(&name)).map_err(failed)?;
            paths.push(name);
        }
        self.push(Part::Inputs, &folder, &paths).await
    }

    /// What a shard starts from, where its files are not on this machine.
    pub(super) async fn fetch_inputs(
        &self,
        arguments: &mut Arguments,
        inputs: Inputs,
    ) -> Result<Inputs, Failure> {
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
        arguments.specs = arguments.specs.as_deref().map(|path| fetched(SPECS, path));
        let predictions = match inputs.predictions.as_str() {
            GOLD => inputs.predictions,
            path => fetched(PREDICTIONS, Path::new(path)).display().to_string(),
        };
        Ok(Inputs {
            dataset: fetched(DATASET, &inputs.dataset),
            predictions,
        })
    }

    /// Pushes what a shard has left in the run's folder.
    pub(super) async fn push_results(
        &self,
        run: &Path,
        shard: Shard,
        outcomes: &[Outcome],
    ) -> Result<(), Failure> {
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
    /// instances. `tasks` are the models and instances of the run, in its order.
    pub(super) async fn fetch_results(
        &self,
        run: &Path,
        shards: usize,
        tasks: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new("cannot gather", error.to_string());
        for index in 0..shards {
            let shard = Shard { index, of: shards };
            // On the run's own file system, so that what is taken only changes its name.
            let folder = tempfile::Builder::new()
                .prefix(".gathering-")
                .tempdir_in(run)
                .map_err(failed)?;
            if !self.pull(Part::Results(shard), folder.path()).await? {
                output::warning(&format!("shard {index}/{shards} has pushed nothing yet"));
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
                    fs_err::remove_dir_all(&place).map_err(failed)?;
                }
                if let Some(above) = place.parent() {
                    fs_err::create_dir_all(above).map_err(failed)?;
                }
                fs_err::rename(found, place).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn push(&self, part: Part, folder: &Path, paths: &[PathBuf]) -> Result<(), Failure> {
        let (resolver, work_dir) = (&self.context.resolver, &self.context.work_dir);
        let what = (self.run_id.as_str(), part);
        let pushed = carried::push(&self.depot, what, folder, paths, resolver, work_dir).await;
        resolver.close().await;
        let (reference, digest) = pushed?;
        output::note(&format!("pushed {reference} ({digest})"));
        Ok(())
    }

    async fn pull(&self, part: Part, folder: &Path) -> Result<bool, Failure> {
        let (resolver, work_dir) = (&self.context.resolver, &self.context.work_dir);
        let what = (self.run_id.as_str(), part);
        Ok(carried::pull(&self.depot, what, folder, resolver, work_dir).await?)
    }

    fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.context.work_dir.join(name);
        fs_err::create_dir(&folder)
            .map_err(|error| Failure::new("cannot make a directory", error.to_string()))?;
        Ok(folder)
    }
}

/// Where an instance's files are in a run's folder.
fn folder_of(model: &str, instance: &str) -> Result<PathBuf, Failure> {
    let model = names::model_directory(model)
        .map_err(|error| Failure::usage(format!("the model's name {model:?} {error}")))?;
    Ok(Path::new(&model).join(instance))
}
