//! Runs on other machines: hands shards to a scheduler, and gathers what they left.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Arguments;
use super::engine_arguments::EngineChoice;
use crate::failure::Failure;
use crate::{exit_code, output};
use ohoci_store::staged;
use ohoci_swebench_evaluation::engine::{Cluster, Shards, kubernetes_job, slurm_script};

/// Flags that are for this process only, and whether a value stands behind them.
const OWN: [(&str, bool); 11] = [
    ("--engine", true),
    ("--shards", true),
    ("--shard", true),
    ("--at-once", true),
    ("--sbatch", true),
    ("--engine-image", true),
    ("--engine-volume", true),
    ("--engine-secret", true),
    ("--write-only", false),
    ("--gather", false),
    ("--format", true),
];

/// Hands the run to the scheduler. `Some` where that is all there is to do now.
pub(super) fn hand_over(
    arguments: &Arguments,
    run: &Path,
    instances: usize,
) -> Result<Option<u8>, Failure> {
    let engine = &arguments.engine;
    let failed = |what: &str, why: String| Failure::new(what.to_owned(), why);
    let directory = std::env::current_dir()
        .map_err(|error| failed("cannot find the working directory", error.to_string()))?;
    let directory = directory.display().to_string();
    let count = engine.count(instances);
    let mut command = command(std::env::args().collect());
    if engine.engine == EngineChoice::Kubernetes
        && let Some(program) = command.first_mut()
    {
        // Where it is on this machine says nothing of the image.
        "ohoci".clone_into(program);
    }
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

/// This process's own command line, without what is for it only.
fn command(words: Vec<String>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    if let Some(program) = words.next() {
        let own = std::env::current_exe().ok();
        kept.push(own.map_or(program, |path| path.display().to_string()));
    }
    while let Some(word) = words.next() {
        let (flag, value) = match word.split_once('=') {
            Some((flag, _)) => (flag, true),
            None => (word.as_str(), false),
        };
        let flag = flag.replace('_', "-");
        match OWN.iter().find(|(own, _)| *own == flag) {
            None => kept.push(word),
            Some((_, true)) if !value => {
                words.next();
            }
            Some(_) => {}
        }
    }
    kept
}

/// The command line that gathers what shards have left.
fn gathering(arguments: &Arguments) -> String {
    let mut line = format!(
        "ohoci swebench run-evaluation --resume --run-id '{}' --gather",
        arguments.run_id
    );
    if let Some(results) = &arguments.engine.results {
        let shards = arguments.engine.shards;
        let _ = write!(line, " --shards {shards} --results {results}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_started_as_the_whole_but_for_what_divides_it() {
        let words = "ohoci swebench run-evaluation --engine slurm --shards=4 -d rows.jsonl --write-only --run_id r --at_once 2 -i a b";
        let kept = command(words.split(' ').map(str::to_owned).collect());
        assert_eq!(
            kept[1..].join(" "),
            "swebench run-evaluation -d rows.jsonl --run_id r -i a b"
        );
    }
}
