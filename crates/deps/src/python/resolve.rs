//! Resolution by the machine's own uv, with its own configuration, and nothing run.
//!
//! uv may use wheels only, so it has nothing to build. Where a package has none, it is shown a
//! wheel that holds the metadata of the package's source distribution, as [`sdist`](super::sdist)
//! reads it, and no code.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use pep440_rs::Version;
use tokio::process::Command;

use super::configuration::Indexes;
use super::name::{PackageName, requirement_name};
use super::resolved::{Package, Source};
use super::tags::{Libc, Target};
use super::{pylock, stub};

/// How long uv may take.
const DEADLINE: Duration = Duration::from_secs(900);
/// The minor versions of glibc that uv has platforms for, as of 0.13.
const GLIBC: [u32; 12] = [17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40];

/// What is to be resolved.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Requirements (PEP 508).
    pub requirements: &'a [String],
    /// Packages that count as not required, whoever requires them.
    pub exclude: &'a [PackageName],
    /// What it is for.
    pub target: &'a Target,
    /// What may be used for want of wheels.
    pub sources: &'a [Source],
    /// Versions that stay where they still fit.
    pub known: &'a [(PackageName, Version)],
    /// The machine's indexes.
    pub indexes: &'a Indexes,
}

/// Why something cannot be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot resolve Python packages: {why}")]
pub struct ResolveError {
    why: String,
    hint: Option<String>,
}

impl ResolveError {
    fn new(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            hint: None,
        }
    }

    fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What may help.
    #[must_use]
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Resolves requirements for one platform. `uv` is the program; it runs in a directory of its own
/// in `work_dir`, and sees the machine's configuration but no project's.
///
/// # Errors
/// When uv is not there, cannot be used for the platform, or says that it cannot resolve.
pub async fn resolve(
    uv: &Path,
    request: &Request<'_>,
    work_dir: &Path,
) -> Result<Vec<Package>, ResolveError> {
    let fail = |error: std::io::Error| ResolveError::new(error.to_string());
    let platform = platform(request.target)?;
    let requested: Vec<PackageName> = request
        .requirements
        .iter()
        .map(|requirement| checked(requirement))
        .collect::<Result<_, _>>()?;
    let directory = tempfile::tempdir_in(work_dir).map_err(fail)?;
    let at = |name: &str| directory.path().join(name);
    fs_err::write(
        at("requirements.in"),
        request.requirements.join("\n") + "\n",
    )
    .map_err(fail)?;
    // uv refuses a lock without packages.
    if !request.known.is_empty() {
        fs_err::write(at("pylock.toml"), known(request.known)).map_err(fail)?;
    }
    // An override replaces what packages say; one that holds nowhere leaves nothing of it.
    let overrides: String = request
        .exclude
        .iter()
        .map(|name| format!("{name} ; python_version < '0'\n"))
        .collect();
    fs_err::write(at("overrides.txt"), overrides).map_err(fail)?;
    fs_err::create_dir(at("stubs")).map_err(fail)?;
    for source in request.sources {
        let (name, content) = stub::wheel(&source.package, &source.version, &source.metadata)
            .map_err(|error| ResolveError::new(error.to_string()))?;
        fs_err::write(at("stubs").join(name), content).map_err(fail)?;
    }
    let mut command = Command::new(uv);
    command
        .args(["pip", "compile", "requirements.in"])
        .args(["--overrides", "overrides.txt"])
        .args(["--only-binary", ":all:", "--find-links", "stubs"])
        .args(["--format", "pylock.toml", "--output-file", "pylock.toml"])
        .args(["--python-platform", &platform])
        .args(["--python-version", &format!("3.{}", request.target.python)])
        .args([
            "--no-header",
            "--no-progress",
            "--quiet",
            "--color",
            "never",
        ])
        .envs(request.indexes.variables_for_uv())
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // The option replaces the variable, so what the variable says is given again.
    for found in &request.indexes.directories {
        command.arg("--find-links").arg(found);
    }
    let output = tokio::time::timeout(DEADLINE, command.output())
        .await
        .map_err(|_| ResolveError::new("uv did not finish in time"))?
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ResolveError::new("uv is not installed")
                .hinted("get it with `pip install uv`; only locking needs it, building does not"),
            _ => fail(error),
        })?;
    if !output.status.success() {
        return Err(refusal(&output.stderr));
    }
    let text = fs_err::read_to_string(at("pylock.toml")).map_err(fail)?;
    let is_requested = |name: &PackageName| requested.contains(name);
    pylock::parse(
        &text,
        &request.target.chooser(),
        request.sources,
        &is_requested,
    )
    .map_err(|why| ResolveError::new(format!("uv: {why}")))
}

/// A line of a requirements file can be much more than a requirement.
fn checked(requirement: &str) -> Result<PackageName, ResolveError> {
    let name = requirement_name(requirement);
    let more = requirement.contains(['\n', '\r', '@', '#', '\\']) || requirement.contains(" -");
    name.filter(|_| !more).ok_or_else(|| {
        ResolveError::new(format!("{requirement:?} is no requirement on an index"))
            .hinted("write it as NAME, NAME==VERSION or NAME[EXTRA]>=VERSION")
    })
}

/// What uv calls a target.
fn platform(target: &Target) -> Result<String, ResolveError> {
    let Target {
        architecture, libc, ..
    } = target;
    let known = matches!(*architecture, "x86_64" | "aarch64");
    match libc {
        Libc::Musl(_) if known => Ok(format!("{architecture}-unknown-linux-musl")),
        Libc::Glibc(minor) if known => GLIBC
            .iter()
            .rev()
            .find(|known| *known <= minor)
            .map(|known| format!("{architecture}-manylinux_2_{known}"))
            .ok_or_else(|| ResolveError::new(format!("uv does not know {target}"))),
        _ => Err(ResolveError::new(format!("uv does not know {target}"))),
    }
}

/// A lock with nothing but versions: uv keeps those that fit.
fn known(packages: &[(PackageName, Version)]) -> String {
    let mut text = "lock-version = \"1.0\"\ncreated-by = \"ohoci\"\n".to_owned();
    for (name, version) in packages {
        text.push_str(&format!(
            "\n[[packages]]\nname = \"{name}\"\nversion = \"{version}\"\n"
        ));
    }
    text
}

/// What uv said, on one line, with what may help against what often happens.
fn refusal(stderr: &[u8]) -> ResolveError {
    let text = String::from_utf8_lossy(stderr);
    let frame = |character: char| character.is_whitespace() || "×╰─▶│├".contains(character);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim_matches(frame))
        .filter(|line| !line.is_empty())
        .take(40)
        .collect();
    let error = match lines.as_slice() {
        [] => ResolveError::new("uv failed and said nothing"),
        lines => ResolveError::new(format!("uv: {}", lines.join(" "))),
    };
    let without_wheels = error
        .why
        .split_once("Wheels are required for `")
        .and_then(|(_, rest)| rest.split_once('`'))
        .map(|(name, _)| name.to_owned());
    match without_wheels {
        Some(name) => error.hinted(format!(
            "if {name} is pure Python, add it to allow-sdist in the recipe"
        )),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use ohoci_image::Digest;
    use ohoci_image::Platform;

    fn stand_in(directory: &Path, script: &str) -> std::path::PathBuf {
        let path = directory.join("uv");
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    fn target(libc: Libc) -> Target {
        Target::new(13, &Platform::new("linux", "amd64"), libc).unwrap()
    }

    async fn run(script: &str, requirement: &str) -> Result<Vec<Package>, ResolveError> {
        run_knowing(script, requirement, &[("old", "0.9")]).await
    }

    async fn run_knowing(
        script: &str,
        requirement: &str,
        known: &[(&str, &str)],
    ) -> Result<Vec<Package>, ResolveError> {
        let directory = tempfile::tempdir().unwrap();
        let uv = stand_in(directory.path(), script);
        let old = PackageName::parse("old").unwrap();
        let source = Source {
            package: old,
            version: "1.0".parse().unwrap(),
            file: "old-1.0.tar.gz".to_owned(),
            digest: Digest::of(b""),
            size: Some(0),
            metadata: "Name: old\nVersion: 1.0\n".to_owned(),
        };
        let known: Vec<(PackageName, Version)> = known
            .iter()
            .map(|(name, version)| (PackageName::parse(name).unwrap(), version.parse().unwrap()))
            .collect();
        let request = Request {
            requirements: &[requirement.to_owned()],
            exclude: &[PackageName::parse("not-this").unwrap()],
            target: &target(Libc::Glibc(41)),
            sources: &[source],
            known: &known,
            indexes: &Indexes::default(),
        };
        resolve(&uv, &request, directory.path()).await
    }

    #[tokio::test]
    async fn uv_is_given_only_wheels_and_keeps_what_fits() {
        // The stand-in fails unless it finds what it should.
        let script = r#"
            set -e
            case "$*" in *"--only-binary :all:"*"--python-platform x86_64-manylinux_2_40"*) ;; *) exit 1 ;; esac
            case "$*" in *no-binary*) exit 1 ;; esac
            grep -q '^old>=1$' requirements.in
            case "$*" in *"--overrides overrides.txt"*) ;; *) exit 1 ;; esac
            grep -q "^not-this ; python_version < '0'$" overrides.txt
            grep -q 'version = "0.9"' pylock.toml
            test -f stubs/old-1.0-py3-none-any.whl
            printf 'lock-version = "1.0"\n[[packages]]\nname = "old"\nversion = "1.0"\nwheels = [{ url = "file://x" }]\n' > pylock.toml
        "#;
        let packages = run(script, "old>=1").await.unwrap();
        assert_eq!(packages[0].path(), "old/old-1.0.tar.gz");
        assert!(packages[0].requested);
    }

    #[tokio::test]
    async fn uv_is_shown_no_lock_when_nothing_is_known() {
        let script = r#"
            test ! -e pylock.toml || exit 1
            echo 'lock-version = "1.0"' > pylock.toml
        "#;
        assert_eq!(run_knowing(script, "x", &[]).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn what_uv_says_is_passed_on() {
        let script = r#"
            echo '  × No solution found when resolving dependencies:' >&2
            echo '  ╰─▶ Because x has no usable wheels, it cannot be.' >&2
            echo >&2
            echo '      hint: Wheels are required for `x` because building is disabled' >&2
            exit 1
        "#;
        let error = run(script, "x").await.unwrap_err();
        insta::assert_snapshot!(error, @"cannot resolve Python packages: uv: No solution found when resolving dependencies: Because x has no usable wheels, it cannot be. hint: Wheels are required for `x` because building is disabled");
        assert!(error.hint().unwrap().contains("add it to allow-sdist"));
    }

    #[tokio::test]
    async fn requirements_cannot_be_anything_else() {
        for bad in [
            "-r /etc/passwd",
            "x @ file:///x",
            "x\n--index-url y",
            "x --hash=y",
            "./x",
        ] {
            let error = run("exit 0", bad).await.unwrap_err();
            assert!(error.to_string().contains("no requirement"), "{error}");
        }
        let indexes = Indexes::default();
        let request = Request {
            requirements: &[],
            exclude: &[],
            target: &target(Libc::Glibc(28)),
            sources: &[],
            known: &[],
            indexes: &indexes,
        };
        let gone = Path::new("/nonexistent/uv");
        let error = resolve(gone, &request, &std::env::temp_dir())
            .await
            .unwrap_err();
        assert!(error.hint().unwrap().contains("pip install uv"));
    }

    #[test]
    fn targets_have_the_names_that_uv_gives_them() {
        let name = |libc| platform(&target(libc)).map_err(|error| error.to_string());
        assert_eq!(name(Libc::Glibc(28)).unwrap(), "x86_64-manylinux_2_28");
        assert_eq!(name(Libc::Glibc(30)).unwrap(), "x86_64-manylinux_2_28");
        assert_eq!(name(Libc::Musl(2)).unwrap(), "x86_64-unknown-linux-musl");
        assert!(name(Libc::Glibc(12)).is_err());
        let other = Target::new(13, &Platform::new("linux", "s390x"), Libc::Glibc(28)).unwrap();
        assert!(platform(&other).is_err());
    }
}
