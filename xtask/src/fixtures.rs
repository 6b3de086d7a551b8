//! `cargo xtask fixtures`: real inputs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{find, run};

/// Where apt keeps its sources.
const SOURCES: &str = "/etc/apt/sources.list.d";
const SOURCES_LIST: &str = "/etc/apt/sources.list";

/// Makes the root file system of a minimal Debian of this machine's release as a tar.
pub(crate) fn debian_base(out: &Path) -> Result<()> {
    let Some(mmdebstrap) = find("mmdebstrap") else {
        bail!(
            "mmdebstrap is not installed; as root run:\n  apt-get install --no-install-recommends mmdebstrap"
        );
    };
    let release = release()?;
    let work = tempfile::tempdir()?;
    let mut mirrors = Vec::new();
    for (name, text) in sources()? {
        let kept = of_release(&text, &release, name.ends_with(".sources"));
        if !kept.is_empty() {
            let file = work.path().join(name);
            fs_err::write(&file, kept)?;
            mirrors.push(file);
        }
    }
    if mirrors.is_empty() {
        bail!("no apt source of {release} in {SOURCES_LIST} or {SOURCES}");
    }
    let mut command = Command::new(mmdebstrap);
    command
        .args(["--variant=minbase", "--format=tar", "--quiet"])
        .arg(&release)
        .arg(out)
        .args(mirrors);
    // Same packages, same bytes: file times later than this are set back to it.
    command.env("SOURCE_DATE_EPOCH", "0");
    run(&mut command)
}

/// The code name of the Debian release this machine runs.
fn release() -> Result<String> {
    let text = fs_err::read_to_string("/etc/os-release")?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name
        .context("/etc/os-release names no release")?
        .trim_matches('"')
        .to_owned())
}

/// Name and text of every file with apt sources.
fn sources() -> Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    if Path::new(SOURCES_LIST).exists() {
        sources.push((
            "sources.list".to_owned(),
            fs_err::read_to_string(SOURCES_LIST)?,
        ));
    }
    if Path::new(SOURCES).exists() {
        for entry in fs_err::read_dir(SOURCES)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".list") || name.ends_with(".sources") {
                sources.push((name, fs_err::read_to_string(entry.path())?));
            }
        }
    }
    sources.sort();
    Ok(sources)
}

/// The entries that belong to the release itself, its updates and its security fixes
/// (sources.list(5): one line each, or paragraphs).
fn of_release(text: &str, release: &str, paragraphs: bool) -> String {
    let belongs = |suite: &str| {
        suite == release
            || suite
                .strip_prefix(release)
                .is_some_and(|rest| rest.starts_with('-'))
    };
    let mut kept = String::new();
    if paragraphs {
        for paragraph in text.split("\n\n") {
            let suites = paragraph
                .lines()
                .find_map(|line| line.strip_prefix("Suites:"));
            if suites.is_some_and(|suites| suites.split_whitespace().any(belongs)) {
                kept.push_str(paragraph.trim());
                kept.push_str("\n\n");
            }
        }
    } else {
        for line in text
            .lines()
            .filter(|line| line.starts_with("deb ") && line.split_whitespace().any(belongs))
        {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sources_of_the_release_are_used() {
        let paragraphs = "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie trixie-updates\n\n\
            Types: deb\nURIs: https://tool.example/apt\nSuites: stable\n\n\
            Types: deb\nURIs: http://mirror.example/security\nSuites: trixie-security\n";
        let kept = of_release(paragraphs, "trixie", true);
        assert!(
            kept.contains("/debian") && kept.contains("/security") && !kept.contains("tool"),
            "{kept}"
        );

        let lines = "# deb http://mirror.example/debian trixie main\n\
            deb [signed-by=/k.gpg] http://mirror.example/debian trixie main\ndeb https://tool.example/apt tool-trixie main\n";
        let kept = of_release(lines, "trixie", false);
        assert_eq!(
            kept,
            "deb [signed-by=/k.gpg] http://mirror.example/debian trixie main\n"
        );
    }
}
