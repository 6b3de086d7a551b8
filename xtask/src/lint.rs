//! `cargo xtask lint`: types of the Python package, and definitions for CIs against their schemas.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{root, run, target};
use crate::environment::Environment;

/// The oldest Python that the package is for.
const OLDEST: &str = "3.9";

/// Looks over all of it; fails with the first that is wrong.
pub(crate) fn all() -> Result<()> {
    let tools = Environment::installed("lint-tools", "xtask/python-requirements.txt")?;
    let package = root().join("python/ohoci");
    run(tools.program("mypy").arg("--strict").arg(&package))?;
    run(tools
        .program("pyright")
        .args(["--pythonversion", OLDEST])
        .arg(&package))?;
    let check = |schema: &str, file: &Path| {
        run(tools
            .program("check-jsonschema")
            .args(["--builtin-schema", schema])
            .arg(file))
    };
    check(
        "vendor.github-actions",
        &root().join("ci/github/action.yml"),
    )?;
    for entry in fs_err::read_dir(root().join(".github/workflows"))? {
        check("vendor.github-workflows", &entry?.path())?;
    }
    // Of a component, the schema knows what stands behind its inputs.
    let component = fs_err::read_to_string(root().join("ci/gitlab/compose.yml"))?;
    let (_, job) = component
        .split_once("\n---\n")
        .context("ci/gitlab/compose.yml has no inputs")?;
    let file = target().join("gitlab-job.yml");
    fs_err::write(&file, job.replace("$[[ inputs.job ]]", "job"))?;
    check("vendor.gitlab-ci", &file)?;
    let shell = root().join("ci/shell/compose.sh");
    run(Command::new("sh").arg("-n").arg(shell))
}
