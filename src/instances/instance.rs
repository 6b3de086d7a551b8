//! The instance level: the repository at a commit, installed.

use super::changes::changes;
use super::environment::Means;
use super::error::{BuildError, Level, at};
use super::stage::Stage;
use crate::layer::Tree;

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
pub fn set_up(
    stage: &Stage,
    script: &str,
    date: i64,
    means: &Means<'_>,
) -> Result<Tree, BuildError> {
    let level = Level::Instance;
    stage
        .prepare("root")
        .and_then(|root| fs_err::write(root.join(SCRIPT), script))
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
    let found = changes(&stage.changes(), stage.below()).map_err(at(level, "pack the checkout"))?;
    Ok(found.tree)
}

/// Leaves the checkout as upstream does.
fn finish(stage: &Stage, means: &Means<'_>) -> Result<(), BuildError> {
    means.run(
        stage,
        Level::Instance,
        "finish the checkout",
        &["/bin/bash", "-c", FINISH],
        "/testbed",
    )
}

/// Applies patches on top of a finished instance, in upstream's order.
///
/// # Errors
/// When one does not apply.
pub fn apply_patches(
    stage: &Stage,
    patches: &[(&str, &str)],
    means: &Means<'_>,
) -> Result<Tree, BuildError> {
    let level = Level::Instance;
    let directory = stage
        .prepare("root")
        .map(|root| root.join("patches"))
        .map_err(at(level, "write patches"))?;
    fs_err::create_dir_all(&directory).map_err(at(level, "write patches"))?;
    for (name, patch) in patches {
        fs_err::write(directory.join(name), patch).map_err(at(level, "write patches"))?;
        let path = format!("/root/patches/{name}");
        let step = format!("apply {name}");
        means.run(
            stage,
            level,
            &step,
            &["git", "apply", "--verbose", &path],
            "/testbed",
        )?;
    }
    fs_err::remove_dir_all(&directory).map_err(at(level, "remove patches"))?;
    finish(stage, means)?;
    let found = changes(&stage.changes(), stage.below()).map_err(at(level, "pack patches"))?;
    Ok(found.tree)
}
