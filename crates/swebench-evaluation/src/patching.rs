//! Applying the model's patch: upstream's ladder of commands.
//!
//! Source: SWE-bench 5.0.2, `GIT_APPLY_CMDS` and `run_instance` of
//! `swebench/harness/run_evaluation.py`.

use super::roots::PATCH_FILE;
use ohoci_swebench::patch_paths::{RefusedPath, refused_path};
use ohoci_swebench::way::Patching;

/// The commands, tried in this order.
pub(super) const LADDER: [&str; 4] = [
    "git apply --verbose",
    "git apply --verbose --3way",
    "git apply --verbose --reject",
    "patch --batch --forward --fuzz=5 -p1 -i",
];

/// What undoes a command that failed half-way.
pub(super) const UNDO: &str = "git checkout -- . ; git clean -fd";

/// Whether the patch is there although every command failed.
pub(super) const IS_APPLIED: &str = "git apply --check --reverse";

/// What a step of the ladder said.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) succeeded: bool,
    pub(super) output: String,
}

/// What the ladder came to.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    /// The command that applied the patch; `None` when none did.
    pub(super) applied_by: Option<String>,
    /// What the last command said.
    pub(super) output: String,
    /// The commands that failed.
    pub(super) failed: Vec<String>,
    /// The path for which no command was tried.
    pub(super) refused: Option<RefusedPath>,
}

/// Tries one command after the other with `run`, which runs a command line of a shell in the
/// repository, until one applies the patch. A patch to files that git protects is not tried: the last
/// command, which is not git's, would apply it.
///
/// # Errors
/// Those of `run`.
pub(super) async fn apply<E>(
    patch: &str,
    patching: &Patching,
    mut run: impl AsyncFnMut(String) -> Result<Said, E>,
) -> Result<Applied, E> {
    if let Some(refused) = refused_path(patch) {
        return Ok(Applied {
            applied_by: None,
            output: refused.to_string(),
            failed: Vec::new(),
            refused: Some(refused),
        });
    }
    if let Patching::Handed(line) = patching {
        let said = run(format!("set -- {PATCH_FILE}; {line}")).await?;
        return Ok(Applied {
            applied_by: said.succeeded.then(|| "the image's script".to_owned()),
            output: said.output,
            failed: Vec::new(),
            refused: None,
        });
    }
    let mut failed = Vec::new();
    let mut output = String::new();
    for command in LADDER {
        if !failed.is_empty() {
            run(UNDO.to_owned()).await?;
        }
        let said = run(format!("{command} {PATCH_FILE}")).await?;
        output = said.output;
        if said.succeeded {
            return Ok(Applied {
                applied_by: Some(command.to_owned()),
                output,
                failed,
                refused: None,
            });
        }
        failed.push(command.to_owned());
    }
    let is_applied = run(format!("{IS_APPLIED} {PATCH_FILE}")).await?.succeeded;
    Ok(Applied {
        applied_by: is_applied.then(|| "verified already applied".to_owned()),
        output: if is_applied { String::new() } else { output },
        failed,
        refused: None,
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn applied(works: &str) -> (Applied, Vec<String>) {
        applied_with("diff --git a/x b/x\n", works).await
    }

    async fn applied_with(patch: &str, works: &str) -> (Applied, Vec<String>) {
        let mut tried = Vec::new();
        let applied = apply(patch, &Patching::Ladder, async |command: String| {
            let succeeded = command.starts_with(works);
            tried.push(command.clone());
            Ok::<_, Infallible>(Said {
                succeeded,
                output: command,
            })
        })
        .await;
        (applied.unwrap_or_else(|never| match never {}), tried)
    }

    #[tokio::test]
    async fn commands_are_tried_in_upstreams_order_from_a_clean_tree() {
        let (done, tried) = applied("git apply --verbose /").await;
        assert_eq!(done.applied_by.as_deref(), Some("git apply --verbose"));
        assert_eq!(tried.len(), 1);
        let (done, tried) = applied("patch").await;
        assert_eq!(done.failed.len(), 3);
        assert!(done.output.starts_with("patch --batch"));
        assert_eq!(tried.iter().filter(|command| *command == UNDO).count(), 3);
        let (done, tried) = applied("nothing").await;
        assert_eq!(done.applied_by, None);
        assert!(done.output.starts_with("patch --batch"));
        assert_eq!(
            tried.last().unwrap(),
            "git apply --check --reverse /tmp/patch.diff"
        );
        let (done, _) = applied(IS_APPLIED).await;
        assert!(done.applied_by.is_some());
    }

    #[tokio::test]
    async fn nothing_is_run_for_a_patch_to_gits_own_files() {
        let patch = "--- a/.git/config\n+++ b/.git/config\n@@ -1 +1,2 @@\n [core]\n+x = y\n";
        for works in ["git", "patch", "nothing"] {
            let (done, tried) = applied_with(patch, works).await;
            assert_eq!(done.applied_by, None);
            assert!(
                done.output.starts_with("a/.git/config: "),
                "{}",
                done.output
            );
            assert_eq!(tried, [""; 0]);
        }
    }
}
