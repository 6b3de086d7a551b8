//! Resolution by the machine's own npm, with its own configuration, and nothing run.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::NpmError;

/// How long npm may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// Has npm write a `package-lock.json` for a `package.json`.
///
/// `known` is the lockfile so far: what it says stays, as far as it still fits. `npm` is the
/// program. Scripts are not run, and the lockfile names no hosts. It all happens in a directory of
/// its own in `work_dir`.
///
/// # Errors
/// When npm is not there, or says that it cannot.
pub async fn resolve(
    npm: &Path,
    manifest: &[u8],
    known: Option<&[u8]>,
    work_dir: &Path,
) -> Result<Vec<u8>, NpmError> {
    let fail = |error: std::io::Error| NpmError::new("npm", error.to_string());
    let directory = tempfile::tempdir_in(work_dir).map_err(fail)?;
    // npm names a project without a name after its directory.
    let project = directory.path().join("project");
    fs_err::create_dir(&project).map_err(fail)?;
    let lockfile = project.join("package-lock.json");
    fs_err::write(project.join("package.json"), manifest).map_err(fail)?;
    if let Some(known) = known {
        fs_err::write(&lockfile, known).map_err(fail)?;
    }
    let mut command = Command::new(npm);
    command
        .args(["install", "--package-lock-only", "--ignore-scripts"])
        .args(["--omit-lockfile-registry-resolved", "--lockfile-version=3"])
        .args([
            "--no-audit",
            "--no-fund",
            "--no-progress",
            "--loglevel=error",
        ])
        .current_dir(&project)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| NpmError::new("npm", "it did not finish in time"))?
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => NpmError::new("npm", "it is not installed")
                .hinted("install Node.js with npm on the machine that writes locks"),
            _ => fail(error),
        })?;
    if !output.status.success() {
        return Err(NpmError::new("npm", said(&output.stderr)));
    }
    ohoci_files::regular::read(&lockfile).map_err(fail)
}

/// What npm said, without its pointers to log files of this machine.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_start_matches("npm error").trim())
        .filter(|line| !line.is_empty() && !line.contains("_logs") && !line.contains("debug-0.log"))
        .take(20)
        .collect();
    match lines.as_slice() {
        [] => "it failed and said nothing".to_owned(),
        lines => lines.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program that stands in for npm.
    fn stand_in(directory: &Path, script: &str) -> std::path::PathBuf {
        let path = directory.join("npm");
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn npm_is_asked_not_to_run_scripts_and_not_to_name_hosts() {
        let directory = tempfile::tempdir().unwrap();
        let npm = stand_in(directory.path(), "echo \"$@\" >> package-lock.json");
        let known = b"known\n".as_slice();
        let lockfile = resolve(&npm, b"{}", Some(known), directory.path())
            .await
            .unwrap();
        let text = String::from_utf8(lockfile).unwrap();
        assert!(text.starts_with("known\ninstall --package-lock-only --ignore-scripts"));
        assert!(text.contains("--omit-lockfile-registry-resolved"));
    }

    #[tokio::test]
    async fn a_project_without_a_name_is_called_the_same_every_time() {
        let directory = tempfile::tempdir().unwrap();
        let npm = stand_in(directory.path(), "basename \"$PWD\" > package-lock.json");
        let lockfile = resolve(&npm, b"{}", None, directory.path()).await.unwrap();
        assert_eq!(lockfile, b"project\n");
    }

    #[tokio::test]
    async fn what_npm_says_is_passed_on() {
        let directory = tempfile::tempdir().unwrap();
        let npm = stand_in(
            directory.path(),
            "echo 'npm error code ETARGET' >&2\n\
             echo 'npm error A complete log of this run can be found in: /x/_logs/y.log' >&2\nexit 1",
        );
        let error = resolve(&npm, b"{}", None, directory.path())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "npm: code ETARGET");
        let gone = directory.path().join("gone");
        let error = resolve(&gone, b"{}", None, directory.path())
            .await
            .unwrap_err();
        assert!(error.hint().is_some(), "{error}");
    }
}
