//! Whether programs can be run: bubblewrap, namespaces, overlays, control groups.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{Finding, Machine, State};
use ohoci_sandbox::{Bubblewrap, CopyOnWrite, Enforced, Limiter, Limits, denial};

const AREA: &str = "sandbox";

/// How long a program that does nothing may take.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn examine(machine: &Machine<'_>) -> Vec<Finding> {
    let path = machine.path.map(|path| path.as_os_str());
    let mut findings = Vec::new();
    match Bubblewrap::find(path) {
        Err(error) => findings.push(
            Finding::new(AREA, "bubblewrap", State::Lacking, error.to_string())
                .mended_by("apt-get install bubblewrap"),
        ),
        Ok(bubblewrap) => {
            let program = bubblewrap.program().display().to_string();
            findings.push(Finding::new(AREA, "bubblewrap", State::Fine, program));
            findings.push(namespaces(bubblewrap.program()).await);
        }
    }
    findings.push(overlay(machine));
    findings.extend(control_groups());
    findings
}

/// Tries a sandbox with namespaces of its own, in which nothing happens.
async fn namespaces(bubblewrap: &Path) -> Finding {
    let mut command = Command::new(bubblewrap);
    command
        .args(["--unshare-all", "--ro-bind", "/", "/", "true"])
        .kill_on_drop(true);
    let why = match tokio::time::timeout(TIMEOUT, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let what = "programs can have namespaces of their own";
            return Finding::new(AREA, "namespaces", State::Fine, what);
        }
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("bwrap said nothing").trim();
            said.to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "bwrap did not end".to_owned(),
    };
    let (why, mend) = match denial::among_settings() {
        Some((reason, mend)) => (reason.to_owned(), mend),
        None => (why, denial::HINT),
    };
    Finding::new(AREA, "namespaces", State::Lacking, why).mended_by(mend)
}

fn overlay(machine: &Machine<'_>) -> Finding {
    let path = machine.path.map(|path| path.as_os_str());
    match CopyOnWrite::find(path, machine.work_dir) {
        Ok((way @ CopyOnWrite::Overlay, _)) => {
            let what = format!("images are stacked by the kernel ({})", way.name());
            Finding::new(AREA, "overlay", State::Fine, what)
        }
        Ok((way, why)) => {
            let why = why.unwrap_or_else(|| "overlays cannot be mounted".to_owned());
            let what = format!("{why}; images are stacked by {} instead", way.name());
            let finding = Finding::new(AREA, "overlay", State::Lacking, what);
            match way {
                CopyOnWrite::Copy { .. } => finding.mended_by("apt-get install fuse-overlayfs"),
                _ => finding.mended_by("Linux 5.11 or newer mounts overlays for ordinary users"),
            }
        }
        Err(error) => Finding::new(AREA, "overlay", State::Lacking, error.to_string()),
    }
}

fn control_groups() -> Vec<Finding> {
    let limiter = Limiter::find(Limits::default());
    let held = [
        ("limit on memory", limiter.memory()),
        ("limit on processes", limiter.processes()),
        ("limit on processors", limiter.cpus()),
    ];
    held.into_iter()
        .map(|(name, enforced)| match enforced {
            Enforced::Whole => Finding::new(AREA, name, State::Fine, "holds for a run as a whole"),
            Enforced::EachProcess => {
                lacking(name, "holds for each process, not for a run as a whole")
            }
            Enforced::Not => lacking(name, "is not held here"),
        })
        .collect()
}

fn lacking(name: &str, what: &str) -> Finding {
    Finding::new(AREA, name, State::Lacking, what).mended_by(
        "a control group that may be written, as `systemd-run --user --scope --property=Delegate=yes` gives",
    )
}
