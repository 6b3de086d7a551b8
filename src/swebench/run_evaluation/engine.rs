//! Runs on other machines: hands shards to a scheduler, and gathers what they left.

use std::path::Path;
use std::process::{Command, Stdio};

use super::arguments::{Arguments, LOGS};
use super::engine_arguments::EngineChoice;
use super::remembered::Remembered;
use crate::failure::Failure;
use crate::{exit_code, output};
use ohoci_store::staged;
use ohoci_swebench_evaluation::engine::{Cluster, Shards, kubernetes_job, quoted, slurm_script};

/// Hands the run to the scheduler. `Some` where that is all there is to do now.
pub(super) fn hand_over(
    arguments: &Arguments,
    remembered: &Remembered,
    run: &Path,
    instances: usize,
) -> Result<Option<u8>, Failure> {
    let engine = &arguments.engine;
    let failed = |what: &str, why: String| Failure::new(what.to_owned(), why);
    let directory = std::env::current_dir()
        .map_err(|error| failed("cannot find the working directory", error.to_string()))?;
    let directory = directory.display().to_string();
    let count = engine.count(instances);
    // Where it is on this machine says nothing of an image.
    let here = std::env::current_exe().ok();
    let here = here.filter(|_| engine.engine != EngineChoice::Kubernetes);
    let program = here.map_or_else(|| "ohoci".to_owned(), |path| path.display().to_string());
    let command = remembered.of_shard(&program, &arguments.run_id);
    let shards = Shards {
        run_id: &arguments.run_id,
        count,
        at_once: engine.at_once,
        command: &command,
        directory: &directory,
    };
    let folder = run.join(engine.engine.name());
    fs_err::create_dir_all(&folder)
        .map_err(|error| failed("cannot make the run's folder", error.to_string()))?;
    let gather = gathering(arguments);
    match engine.engine {
        EngineChoice::Local => Ok(None),
        EngineChoice::Slurm => {
            let script = folder.join("job.sh");
            let logs = fs_err::canonicalize(&folder)
                .map_err(|error| failed("cannot find the run's folder", error.to_string()))?;
            let text = slurm_script(&shards, &engine.sbatch, &logs.display().to_string());
            staged::replace(&script, text.as_bytes())
                .map_err(|error| failed("cannot write the script", error.to_string()))?;
            if engine.write_only {
                output::note(&format!(
                    "submit it: sbatch {}; then gather: {gather}",
                    script.display()
                ));
                output::result(&script.display().to_string())?;
                return Ok(Some(exit_code::DONE));
            }
            submit(&script)?;
            Ok(None)
        }
        EngineChoice::Kubernetes => {
            let needed = |value: &Option<String>, flag: &str| {
                value
                    .clone()
                    .ok_or_else(|| Failure::usage(format!("--engine kubernetes needs {flag}")))
            };
            let image = needed(&engine.engine_image, "--engine-image")?;
            let claim = match (&engine.engine_volume, &engine.results) {
                (None, Some(_)) => None,
                (claim, _) => Some(needed(claim, "--engine-volume or --results")?),
            };
            let cpus = arguments.limits.asked().cpus.map(|cpus| cpus.to_string());
            let job = kubernetes_job(
                &shards,
                &Cluster {
                    image: &image,
                    claim: claim.as_deref(),
                    secret: engine.engine_secret.as_deref(),
                    memory: None,
                    cpus: cpus.as_deref(),
                },
            );
            let text = serde_json::to_string_pretty(&job)
                .map_err(|error| failed("cannot write the job", error.to_string()))?;
            let manifest = folder.join("job.json");
            staged::replace(&manifest, (text + "\n").as_bytes())
                .map_err(|error| failed("cannot write the job", error.to_string()))?;
            output::note(&format!(
                "start it: kubectl apply -f {}; when it is complete, gather: {gather}",
                manifest.display()
            ));
            output::result(&manifest.display().to_string())?;
            Ok(Some(exit_code::DONE))
        }
    }
}

/// Submits a batch script and waits until all of its tasks have ended.
fn submit(script: &Path) -> Result<(), Failure> {
    output::note(&format!(
        "submitted {}; waiting for its shards",
        script.display()
    ));
    let done = Command::new("sbatch")
        .args(["--wait", "--quiet"])
        .arg(script)
        .stdin(Stdio::null())
        .output();
    let failed = |why: String| {
        Failure::new(format!("cannot run {} by Slurm", script.display()), why).hinted(
            "its shards' logs are beside it; what they have done is kept: --gather takes it",
        )
    };
    let done = done.map_err(|error| failed(format!("sbatch: {error}")))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    match said.trim() {
        // A shard that failed: what it lacks shows in the results.
        "" => {
            output::warning("a shard did not end well; its instances have no verdict");
            Ok(())
        }
        said => Err(failed(said.to_owned())),
    }
}

/// The command line that gathers what shards have left: the run remembers the rest.
fn gathering(arguments: &Arguments) -> String {
    let mut words = [
        "ohoci",
        "swebench",
        "run-evaluation",
        "--resume",
        "--gather",
    ]
    .map(str::to_owned)
    .to_vec();
    words.push(format!("--run-id={}", arguments.run_id));
    if arguments.logs != Path::new(LOGS) {
        words.push(format!("--logs={}", arguments.logs.display()));
    }
    quoted(&words)
}
