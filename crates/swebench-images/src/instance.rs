//! The instance level: the repository at a commit, installed.

use super::changes::changes;
use super::environment::Means;
use super::error::{BuildError, Level, at};
use super::git;
use super::stage::Stage;
use ohoci_layer::Tree;
use ohoci_swebench::patch_paths::refused_path;

/// What upstream calls the script, and where it puts it.
const SCRIPT: &str = "setup_repo.sh";

/// Takes away what a commit leaves behind and what is different every time: git's log of references,
/// and when it last looked at files.
const FINISH: &str = "cd /testbed && rm -rf .git/logs .git/COMMIT_EDITMSG .git/ORIG_HEAD .git/FETCH_HEAD \
    && git read-tree HEAD";

/// Runs the setup script on a checkout that is in the stage already.
///
/// # Errors
/// When a command of it fails.
pub(crate) fn set_up(
    stage: &Stage,
    script: &str,
    date: i64,
    means: &Means<'_>,
) -> Result<Tree, BuildError> {
    let level = Level::Instance;
    stage
        .prepare("root")
        .and_then(|root| root.write(SCRIPT, script.as_bytes(), 0o644))
        .map_err(at(level, "write setup_repo.sh"))?;
    let date = format!("{date} +0000");
    let author = format!("GIT_AUTHOR_DATE={date}");
    let committer = format!("GIT_COMMITTER_DATE={date}");
    let words = [
        "env",
        &author,
        &committer,
        "GIT_CONFIG_COUNT=1",
        "GIT_CONFIG_KEY_0=gc.auto",
        "GIT_CONFIG_VALUE_0=0",
        "/bin/bash",
        "/root/setup_repo.sh",
    ];
    means
        .run(stage, level, "run setup_repo.sh", &words, "/testbed")
        .map_err(|error| {
            error.hinted("the command that failed is the last that the log shows behind a `+`")
        })?;
    finish(stage, means)?;
    let found = changes(&stage.own(), stage.below()).map_err(at(level, "pack the checkout"))?;
    Ok(found.tree)
}

/// Leaves the checkout as upstream does.
fn finish(stage: &Stage, means: &Means<'_>) -> Result<(), BuildError> {
    means.run(
        stage,
        Level::Instance,
        "finish the checkout",
        &["/bin/bash", "-c", &git::in_shell(FINISH)],
        "/testbed",
    )
}

/// Looks whether all of these patches may be applied.
///
/// # Errors
/// The first that changes what no patch may.
pub(crate) fn refuse_patches(patches: &[(&str, &str)]) -> Result<(), BuildError> {
    for (name, patch) in patches {
        if let Some(refused) = refused_path(patch) {
            let step = format!("apply {name}");
            return Err(BuildError::new(Level::Instance, step, refused));
        }
    }
    Ok(())
}

/// Applies patches on top of a finished instance, in upstream's order.
///
/// # Errors
/// When one does not apply, or changes what no patch may; then nothing has run.
pub(crate) fn apply_patches(
    stage: &Stage,
    patches: &[(&str, &str)],
    means: &Means<'_>,
) -> Result<Tree, BuildError> {
    let level = Level::Instance;
    refuse_patches(patches)?;
    for (name, patch) in patches {
        // Not written into the repository's own root: what it brought may have run there.
        let file = stage
            .hand_in(name, patch)
            .map_err(at(level, "write patches"))?;
        let path = file.destination.display().to_string();
        let words: Vec<&str> = git::words().chain(["apply", "--verbose", &path]).collect();
        let step = format!("apply {name}");
        means.run_with(stage, level, &step, &words, "/testbed", Some(file))?;
    }
    finish(stage, means)?;
    let found = changes(&stage.own(), stage.below()).map_err(at(level, "pack patches"))?;
    Ok(found.tree)
}
