//! Images that other machines build: a scheduler is given what instances share, and then the instances; what
//! their shards leave is gathered.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::division::{Part, Stage, count_shared};
use super::engine::{HandOver, Handout, Scheduler, Shard, Shards, Submitted, submit_both};
use super::images_error::ImagesError;
use super::observer::Observer;
use super::planned::PlannedImage;
use super::report::Report;
use ohoci_layout::staged;

/// Where shards' reports and what starts them lie, below the folder of logs.
const FOLDER: &str = "shards";
/// How much of a report is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// What starts the stages, which a person has to do.
#[derive(Clone, Debug)]
pub struct Stages {
    /// The command line that starts both, the second when the first has ended.
    pub start: String,
    /// The files.
    pub handouts: Vec<Handout>,
}

/// How many shards each stage has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    /// Of what instances share.
    pub shared: usize,
    /// Of instances.
    pub instances: usize,
}

impl Counts {
    /// No more than there is to do.
    #[must_use]
    pub(crate) fn of(shards: usize, images: &[PlannedImage]) -> Self {
        Self::new(shards, count_shared(images), images.len())
    }

    fn new(shards: usize, shared: usize, instances: usize) -> Self {
        Self {
            shared: shards.min(shared).max(1),
            instances: shards.min(instances).max(1),
        }
    }
}

/// Hands both stages to the scheduler, and waits for them where it can be waited for. Returns what a person
/// has to start, where one has to.
pub(crate) async fn hand_over(
    over: &HandOver,
    counts: Counts,
    logs: &Path,
    observer: &dyn Observer,
) -> Result<Option<Stages>, ImagesError> {
    let failed = |what| move |why| ImagesError::HandOver { what, why };
    let folder = logs.join(FOLDER);
    fs_err::create_dir_all(&folder).map_err(failed("cannot make the folder for shards"))?;
    let folder = fs_err::canonicalize(&folder).map_err(failed("cannot find the folder"))?;
    forget(&folder).map_err(failed("cannot remove the reports of earlier shards"))?;
    let stages = [
        (Stage::Shared, counts.shared),
        (Stage::Instances, counts.instances),
    ];
    let mut handouts = Vec::new();
    for (stage, count) in stages {
        let mut command = over.command.clone();
        command.push(format!("--stage={}", stage.name()));
        let name = job_name(stage);
        let shards = Shards {
            name: &name,
            file: stage.name(),
            log: stage.name(),
            count,
            at_once: over.at_once,
            command: &command,
            directory: &over.directory,
        };
        let handout = over.scheduler.handout(&shards, &folder);
        let written = handout.write();
        written.map_err(failed("cannot write what starts the shards"))?;
        handouts.push(handout);
    }
    if let (Scheduler::Slurm { .. }, false, [first, second]) =
        (&over.scheduler, over.only_writes, handouts.as_slice())
    {
        submitted(first, second, observer).await?;
        return Ok(None);
    }
    Ok(Some(Stages {
        start: start(&over.scheduler, &handouts),
        handouts,
    }))
}

fn job_name(stage: Stage) -> String {
    format!("images-{}", stage.name())
}

/// The command line that starts both stages, one after the other.
fn start(scheduler: &Scheduler, handouts: &[Handout]) -> String {
    let commands: Vec<String> = handouts.iter().map(Handout::command).collect();
    let [first, second] = commands.as_slice() else {
        return commands.join(" && ");
    };
    match scheduler {
        Scheduler::Slurm { .. } => {
            let submit = |command: &str, option: &str| command.replacen("sbatch", option, 1);
            let first = submit(first, "sbatch --parsable");
            let after = format!("sbatch --dependency=afterany:$({first} | cut -d';' -f1)");
            submit(second, &after)
        }
        Scheduler::Kubernetes(_) => {
            let job = super::engine::name(&job_name(Stage::Shared));
            format!(
                "{first} && kubectl wait --for=condition=complete --timeout=-1s job/{job} && {second}"
            )
        }
    }
}

async fn submitted(
    first: &Handout,
    second: &Handout,
    observer: &dyn Observer,
) -> Result<(), ImagesError> {
    observer.submitted(&[&first.path, &second.path]);
    let failed = |why: String| ImagesError::Slurm {
        script: second.path.clone(),
        why,
    };
    let done = submit_both(&first.path, &second.path).await;
    match done.map_err(|error| failed(format!("sbatch: {error}")))? {
        Submitted::Done => Ok(()),
        // What the shard lacks shows in what is gathered.
        Submitted::TaskFailed => {
            observer.warned("a shard did not end well; its images are missing");
            Ok(())
        }
        Submitted::Refused(said) => Err(failed(said)),
    }
}

/// Where a shard leaves its report.
fn report_path(logs: &Path, part: Part) -> PathBuf {
    let Shard { index, of } = part.shard;
    let name = format!("{}-{index}-of-{of}.json", part.stage.name());
    logs.join(FOLDER).join(name)
}

/// Leaves a shard's report for whoever gathers.
pub(crate) fn leave(report: &Report, logs: &Path, part: Part) -> Result<(), ImagesError> {
    let path = report_path(logs, part);
    let text = format!("{:#}\n", report.json());
    let written = fs_err::create_dir_all(logs.join(FOLDER))
        .and_then(|()| staged::replace(&path, text.as_bytes()));
    written.map_err(|why| ImagesError::HandOver {
        what: "cannot leave the shard's report",
        why,
    })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let file = ohoci_files::regular::open(path)?;
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// Removes reports of an earlier run.
fn forget(folder: &Path) -> io::Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_report = name.contains("-of-") && name.ends_with(".json");
        if is_report {
            fs_err::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Reads what the shards of instances have left; the shards that have left nothing are told by their index.
pub(crate) fn reports(logs: &Path, of: usize) -> Result<(Vec<Value>, Vec<usize>), ImagesError> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for index in 0..of {
        let shard = Shard { index, of };
        let path = report_path(
            logs,
            Part {
                stage: Stage::Instances,
                shard,
            },
        );
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(index),
            Err(why) => {
                let what = "cannot read what a shard has left";
                return Err(ImagesError::HandOver { what, why });
            }
            Ok(content) => {
                let value =
                    serde_json::from_slice(&content).map_err(|why| ImagesError::HandOver {
                        what: "cannot read what a shard has left",
                        why: io::Error::other(format!("{}: {why}", path.display())),
                    })?;
                found.push(value);
            }
        }
    }
    Ok((found, missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(scheduler: Scheduler) -> HandOver {
        HandOver {
            scheduler,
            shards: 4,
            at_once: None,
            command: vec!["ohoci".to_owned()],
            directory: "/work".to_owned(),
            only_writes: true,
        }
    }

    struct Quiet;

    impl Observer for Quiet {
        fn ended(&self, _: &crate::report::ImageOutcome) {}
    }

    #[tokio::test]
    async fn the_second_stage_is_started_after_the_first() {
        let logs = tempfile::tempdir().unwrap();
        let slurm = over(Scheduler::Slurm {
            options: Vec::new(),
        });
        let counts = Counts::new(4, 2, 9);
        let stages = hand_over(&slurm, counts, logs.path(), &Quiet).await;
        let stages = stages.unwrap().unwrap();
        let folder = fs_err::canonicalize(logs.path()).unwrap().join("shards");
        let folder = folder.display();
        assert_eq!(
            stages.start,
            format!(
                "sbatch --dependency=afterany:$(sbatch --parsable {folder}/shared.sh | cut -d';' -f1) {folder}/instances.sh"
            )
        );
        let [shared, instances] = stages.handouts.as_slice() else {
            panic!("{stages:?}");
        };
        assert!(shared.text.contains("#SBATCH --array=0-1\n"));
        assert!(instances.text.contains("#SBATCH --array=0-3\n"));
        assert!(
            instances
                .text
                .contains("exec ohoci --stage=instances --shard \"$SLURM_ARRAY_TASK_ID/4\"")
        );
    }

    #[test]
    fn reports_of_earlier_runs_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["instances-0-of-2.json", "instances.json", "shared-0.log"] {
            fs_err::write(folder.path().join(name), "").unwrap();
        }
        forget(folder.path()).unwrap();
        assert!(!folder.path().join("instances-0-of-2.json").exists());
        assert!(folder.path().join("instances.json").exists());
    }
}
