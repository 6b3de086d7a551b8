//! A job array for Slurm.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::{Shards, name, quoted};

/// A batch script for `sbatch`; `options` are lines for `#SBATCH`.
///
/// Source: sbatch(1), "--array" and "OUTPUT ENVIRONMENT VARIABLES".
pub(super) fn script(shards: &Shards<'_>, options: &[String], logs: &str) -> String {
    let last = shards.count.saturating_sub(1);
    let at_once = shards
        .at_once
        .map_or_else(String::new, |count| format!("%{count}"));
    let mut text = String::from("#!/bin/bash\n");
    for option in [
        format!("--job-name={}", name(shards.name)),
        format!("--array=0-{last}{at_once}"),
        format!("--chdir={}", shards.directory),
        format!("--output={logs}/{}-%a.log", shards.log),
    ]
    .iter()
    .chain(options)
    {
        let _ = writeln!(text, "#SBATCH {}", one_line(option));
    }
    let _ = writeln!(
        text,
        "exec {} --shard \"$SLURM_ARRAY_TASK_ID/{}\"",
        quoted(shards.command),
        shards.count
    );
    text
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// How a batch script ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// All of its tasks ended well.
    Done,
    /// A task did not.
    TaskFailed,
    /// It was not taken, in Slurm's words.
    Refused(String),
}

/// Submits a batch script and waits until all of its tasks have ended.
///
/// # Errors
/// When `sbatch` cannot be started.
pub async fn submit(script: &Path) -> io::Result<Submitted> {
    Ok(ended(&sbatch(&["--wait", "--quiet"], script).await?))
}

/// Submits two batch scripts, the second of which begins when all tasks of the first have ended, and
/// waits for the second.
///
/// It begins however the first ended (`afterany`): what a lost task has left undone its tasks do
/// themselves. With `afterok` they would wait for ever.
///
/// Source: sbatch(1), "--dependency" and "--parsable".
///
/// # Errors
/// When `sbatch` cannot be started.
pub async fn submit_both(first: &Path, second: &Path) -> io::Result<Submitted> {
    let done = sbatch(&["--parsable"], first).await?;
    if !done.status.success() {
        return Ok(Submitted::Refused(said(&done)));
    }
    let answer = String::from_utf8_lossy(&done.stdout);
    // Behind the number stands the cluster's name, where there are several.
    let number = answer.trim().split(';').next().unwrap_or_default();
    let after = format!("--dependency=afterany:{number}");
    let done = sbatch(&["--wait", "--quiet", &after], second).await?;
    Ok(match ended(&done) {
        Submitted::Refused(why) => {
            Submitted::Refused(format!("{why} (job {number} was submitted before)"))
        }
        other => other,
    })
}

async fn sbatch(options: &[&str], script: &Path) -> io::Result<Output> {
    Command::new("sbatch")
        .args(options)
        .arg(script)
        .stdin(Stdio::null())
        .kill_on_drop(false)
        .output()
        .await
}

/// What `sbatch --wait` says of how all tasks ended.
fn ended(done: &Output) -> Submitted {
    if done.status.success() {
        return Submitted::Done;
    }
    match said(done) {
        said if said.is_empty() => Submitted::TaskFailed,
        said => Submitted::Refused(said),
    }
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{command, shards};
    use super::*;

    #[test]
    fn a_script_for_slurm_starts_one_shard_per_task() {
        let command = command();
        let text = script(&shards(&command), &["--partition=x".to_owned()], "/logs");
        let expected = "#!/bin/bash\n#SBATCH --job-name=ohoci-my-run-1\n#SBATCH --array=0-2%2\n#SBATCH --chdir=/work\n#SBATCH --output=/logs/shard-%a.log\n#SBATCH --partition=x\nexec ohoci swebench 'it'\\''s' '' --shard \"$SLURM_ARRAY_TASK_ID/3\"\n";
        assert_eq!(text, expected);
    }
}
