//! SWE-bench's steps with Docker, as upstream's harness does them: an environment and an instance by
//! `docker build`, and an evaluation in a container that is stopped and removed.
//!
//! Source: SWE-bench 4.1.0, `swebench/harness/dockerfiles/python.py`, `test_spec/python.py` and
//! `run_evaluation.py`; 5.0.2 for the flags of `docker stop`. There is no conda: the environment is the
//! prefix of Python and the packages that ohoci installs, on the same base.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::docker::{self, Docker};
use crate::command::{output, run};

/// What the daemon calls the images.
const BASE: &str = "bench-base:1";
const ENVIRONMENT: &str = "bench-env:1";
const INSTANCE: &str = "bench-instance:1";
const CONTAINER: &str = "bench-evaluation";

/// pip's settings of this machine, which get into no layer.
const SECRETS: &str = "--mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=certificates,target=/run/certificates";

/// What both have to start from: what ohoci has left of the same instance.
#[derive(Debug)]
pub(super) struct Inputs<'a> {
    /// ohoci, and where it was run.
    pub(super) program: &'a Path,
    pub(super) work: &'a Path,
    pub(super) base_image: &'a str,
    /// A folder with one Python for each version.
    pub(super) pythons: &'a Path,
    /// A clone of the repository.
    pub(super) clone: &'a Path,
    pub(super) instance: &'a str,
    pub(super) base_commit: &'a str,
    /// The image that ohoci has made, and its environment's name.
    pub(super) image: &'a str,
    pub(super) environment: &'a str,
}

/// How long each step took.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) environment: Duration,
    pub(super) instance: Duration,
    /// Without the teardown.
    pub(super) evaluation: Duration,
    pub(super) teardown: Duration,
    /// The end of what the tests wrote.
    pub(super) said: String,
}

/// Runs the steps, or says why they cannot be run here.
pub(super) fn measure(inputs: &Inputs<'_>) -> Result<Times> {
    let home = inputs.work.join("docker");
    let docker = docker::start(&home)?;
    let archive = home.join("base.tar");
    run(Command::new(inputs.program)
        .args(["copy", inputs.base_image])
        .arg(format!("docker-archive:{}:{BASE}", archive.display())))?;
    docker.load(&archive)?;
    fs_err::remove_file(&archive)?;
    let environment = environment(&docker, inputs, &home)?;
    let instance = instance(&docker, inputs, &home)?;
    evaluate(&docker, inputs, [environment, instance])
}

fn environment(docker: &Docker, inputs: &Inputs<'_>, home: &Path) -> Result<Duration> {
    let context = home.join("environment");
    fs_err::create_dir_all(&context)?;
    let folder = log_folder("env", inputs.environment);
    let lock = fs_err::read(inputs.work.join(folder).join("lock.json"))?;
    let lock: Value = serde_json::from_slice(&lock)?;
    let mut installs = String::new();
    for (number, step) in lock["steps"].as_array().into_iter().flatten().enumerate() {
        let requirements = step["requirements"].as_str().unwrap_or_default();
        fs_err::write(context.join(format!("{number}.txt")), requirements)?;
        let flag = if step["with_dependencies"] == true {
            ""
        } else {
            "--no-deps"
        };
        installs.push_str(&format!(
            "COPY {number}.txt /root/\nRUN {SECRETS} PIP_CERT=/run/certificates python -m pip install --no-cache-dir {flag} -r /root/{number}.txt\n"
        ));
    }
    let version = lock["python"].as_str().unwrap_or_default();
    copy(&prefix(inputs.pythons, version)?, &context.join("python"))?;
    for path in [
        "/opt/miniconda3/bin/activate",
        "/opt/miniconda3/etc/profile.d/conda.sh",
    ] {
        let image = format!("oci:images:{}", inputs.image);
        let text = output(
            Command::new(inputs.program)
                .current_dir(inputs.work)
                .args(["run", &image, "--", "cat", path]),
        )?;
        let name = Path::new(path).file_name().context("a file's name")?;
        fs_err::write(context.join(name), text)?;
    }
    let prefix = "/opt/miniconda3/envs/testbed";
    let dockerfile = format!(
        "FROM {BASE}\nCOPY python {prefix}\nCOPY activate /opt/miniconda3/bin/\nCOPY conda.sh /opt/miniconda3/etc/profile.d/\n\
         ENV LD_LIBRARY_PATH={prefix}/lib PATH={prefix}/bin:/opt/miniconda3/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TZ=Etc/UTC\n{installs}"
    );
    build(docker, &context, &dockerfile, ENVIRONMENT)
}

fn instance(docker: &Docker, inputs: &Inputs<'_>, home: &Path) -> Result<Duration> {
    let context = home.join("instance");
    fs_err::create_dir_all(&context)?;
    copy(inputs.clone, &context.join("clone"))?;
    let name = format!("sweb.eval.x86_64.{}:latest", inputs.instance);
    let script = inputs
        .work
        .join(log_folder("instances", &name))
        .join("setup_repo.sh");
    fs_err::copy(script, context.join("setup_repo.sh"))?;
    let commit = inputs.base_commit;
    let checkout = [
        "git config --global --add safe.directory '*'".to_owned(),
        "git clone --quiet -o origin --single-branch file:///clone /testbed".to_owned(),
        "chmod -R 777 /testbed".to_owned(),
        "cd /testbed".to_owned(),
        format!("git reset --quiet --hard {commit}"),
        "git remote remove origin".to_owned(),
        format!("latest=$(git show -s --format=%ci {commit})"),
        "git tag -l | while read tag; do when=$(git log -1 --format=%ci \"$tag^{commit}\"); if [ \"$when\" \\> \"$latest\" ]; then git tag -d \"$tag\" >/dev/null; fi; done".to_owned(),
        "git reflog expire --expire=now --all".to_owned(),
        "git gc --quiet --prune=now --aggressive".to_owned(),
    ]
    .join(" && ");
    fs_err::write(
        context.join("checkout.sh"),
        format!("set -eu\n{checkout}\n"),
    )?;
    let dockerfile = format!(
        "FROM {ENVIRONMENT}\nCOPY checkout.sh setup_repo.sh /root/\n\
         RUN --mount=type=bind,source=clone,target=/clone /bin/bash /root/checkout.sh\n\
         RUN {SECRETS} PIP_CERT=/run/certificates /bin/bash /root/setup_repo.sh\nWORKDIR /testbed/\n"
    );
    build(docker, &context, &dockerfile, INSTANCE)
}

fn build(docker: &Docker, context: &Path, dockerfile: &str, tag: &str) -> Result<Duration> {
    fs_err::write(context.join("Dockerfile"), dockerfile)?;
    let settings =
        std::env::var_os("PIP_CONFIG_FILE").map_or_else(|| "/etc/pip.conf".into(), PathBuf::from);
    let certificates = ["PIP_CERT", "SSL_CERT_FILE"]
        .into_iter()
        .find_map(std::env::var_os);
    let certificates = certificates.map_or_else(
        || "/etc/ssl/certs/ca-certificates.crt".into(),
        PathBuf::from,
    );
    let mut command = docker.command();
    command.args(["build", "--network", "host", "--quiet", "--tag", tag]);
    for (id, file) in [("pip", settings), ("certificates", certificates)] {
        // A secret that is not there is an empty mount nowhere.
        if file.is_file() {
            command
                .arg("--secret")
                .arg(format!("id={id},src={}", file.display()));
        }
    }
    let started = Instant::now();
    output(command.arg(context))?;
    Ok(started.elapsed())
}

fn evaluate(docker: &Docker, inputs: &Inputs<'_>, built: [Duration; 2]) -> Result<Times> {
    let folder = inputs
        .work
        .join("logs/run_evaluation/bench/gold")
        .join(inputs.instance);
    let docker = |words: &[&str]| output(docker.command().args(words));
    let file = |name: &str| folder.join(name).display().to_string();
    let started = Instant::now();
    let words = [
        "create",
        "--name",
        CONTAINER,
        "--user",
        "root",
        "--network",
        "none",
        "--env",
        "PIP_RETRIES=0",
        INSTANCE,
    ];
    docker(&[&words[..], &["tail", "-f", "/dev/null"]].concat())?;
    docker(&["start", CONTAINER])?;
    docker(&[
        "cp",
        &file("patch.diff"),
        &format!("{CONTAINER}:/tmp/patch.diff"),
    ])?;
    let exec = ["exec", "--workdir", "/testbed", "--user", "root", CONTAINER];
    docker(&[&exec[..], &["git", "apply", "--verbose", "/tmp/patch.diff"]].concat())?;
    docker(&[&exec[..], &["git", "-c", "core.fileMode=false", "diff"]].concat())?;
    docker(&["cp", &file("eval.sh"), &format!("{CONTAINER}:/eval.sh")])?;
    // Its exit code says nothing; what it wrote does.
    let script = ["/bin/bash", "-c", "/bin/bash /eval.sh 2>&1 || true"];
    let said = docker(&[&exec[..], &script].concat())?;
    docker(&[&exec[..], &["git", "-c", "core.fileMode=false", "diff"]].concat())?;
    let evaluation = started.elapsed();
    let started = Instant::now();
    docker(&["stop", "--time=15", CONTAINER])?;
    docker(&["rm", "--force", CONTAINER])?;
    let teardown = started.elapsed();
    let said = said
        .lines()
        .rev()
        .find(|line| line.contains(" passed") || line.contains(" failed"));
    let [environment, instance] = built;
    Ok(Times {
        environment,
        instance,
        evaluation,
        teardown,
        said: said
            .unwrap_or("no summary of tests")
            .trim_matches([' ', '='])
            .to_owned(),
    })
}

/// Where a build has left its log.
fn log_folder(level: &str, image: &str) -> PathBuf {
    Path::new("logs/build_images")
        .join(level)
        .join(image.replace(':', "__"))
}

fn prefix(pythons: &Path, version: &str) -> Result<PathBuf> {
    for entry in fs_err::read_dir(pythons)? {
        let path = entry?.path();
        if path.join(format!("bin/python{version}")).exists() {
            return Ok(path);
        }
    }
    bail!("{} has no Python {version}", pythons.display())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").args(["-a", "--"]).args([from, to]))
}
