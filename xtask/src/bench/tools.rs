//! What each tool is told to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::docker;
use super::inputs::{BASE_PATH, DEPS, ENTRYPOINT, Inputs};
use crate::command::{cargo, find, output, run, target};

/// One image to make.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The registry, behind its relay.
    pub(crate) registry: SocketAddr,
    /// Repository of the base.
    pub(crate) base: &'a str,
    /// Repository to push to, and the tag.
    pub(crate) target: &'a str,
    pub(crate) tag: &'a str,
}

impl Job<'_> {
    pub(crate) fn base(&self) -> String {
        format!("{}/{}:latest", self.registry, self.base)
    }

    pub(crate) fn deps(&self) -> String {
        format!("{}/{DEPS}:latest", self.registry)
    }

    pub(crate) fn target(&self) -> String {
        format!("{}/{}:{}", self.registry, self.target, self.tag)
    }

    /// The job as a Dockerfile.
    pub(crate) fn dockerfile(&self) -> String {
        let (base, deps) = (self.base(), self.deps());
        format!(
            "FROM {base}\nCOPY --from={deps} /openhands /openhands\nENV PATH=/openhands/bin:$PATH\nENTRYPOINT [\"{ENTRYPOINT}\"]\n"
        )
    }
}

/// A way to get the job done.
pub(crate) trait Tool {
    /// Its name in the table.
    fn name(&self) -> &str;
    /// Deletes what it keeps from earlier jobs.
    fn forget(&self) -> Result<()>;
    /// What it needs and what is not measured.
    fn prepare(&self, _job: &Job) -> Result<()> {
        Ok(())
    }
    /// The job.
    fn run(&self, job: &Job) -> Result<()>;
}

/// The tools that can be measured here, and why others cannot.
pub(crate) struct Toolbox {
    pub(crate) tools: Vec<Box<dyn Tool>>,
    pub(crate) missing: Vec<String>,
}

/// The tools that are asked for.
pub(crate) fn all(
    ohoci: Option<&Path>,
    only: &[String],
    inputs: &Inputs,
    work: &Path,
) -> Result<Toolbox> {
    let wanted =
        |name: &str| only.is_empty() || only.iter().any(|only| name.starts_with(only.as_str()));
    let mut tools: Vec<Box<dyn Tool>> = Vec::new();
    let mut missing = Vec::new();

    if wanted("ohoci") {
        tools.push(Box::new(Ohoci {
            program: ohoci_program(ohoci)?,
            home: work.join("ohoci"),
        }));
    }
    if wanted("crane") {
        match crane_program() {
            Some(program) => {
                // Compressed beforehand, which spares it most of the work, and as most people have it.
                for (name, steps, layer) in [
                    ("crane append + mutate", 2, &inputs.deps_gzip),
                    ("crane append + mutate, plain tar", 2, &inputs.deps_tar),
                    ("crane mutate --append", 1, &inputs.deps_gzip),
                ] {
                    let (program, layer) = (program.clone(), layer.clone());
                    let home = work.join("crane");
                    tools.push(Box::new(Crane {
                        name,
                        steps,
                        program,
                        layer,
                        home,
                    }));
                }
            }
            None => missing.push(NO_CRANE.to_owned()),
        }
    }
    if wanted("skopeo") {
        match (find("skopeo"), find("umoci")) {
            (Some(skopeo), Some(umoci)) => {
                tools.push(Box::new(Umoci {
                    skopeo,
                    umoci,
                    tar: inputs.deps_tar.clone(),
                    home: work.join("umoci"),
                }));
            }
            _ => missing.push("skopeo + umoci: not both are installed".to_owned()),
        }
    }
    if wanted("buildah") {
        match find("buildah") {
            Some(program) => tools.push(Box::new(Buildah {
                program,
                home: work.join("buildah"),
            })),
            None => missing.push("buildah is not installed".to_owned()),
        }
    }
    if wanted("docker") {
        match docker::start(&work.join("docker")) {
            Ok(docker) => tools.push(Box::new(docker)),
            Err(error) => missing.push(format!("docker: {error:#}")),
        }
    }
    Ok(Toolbox { tools, missing })
}

/// Why crane is not measured.
pub(crate) const NO_CRANE: &str = "crane is neither on the path nor named by OHOCI_BENCH_CRANE";

fn crane_program() -> Option<PathBuf> {
    std::env::var_os("OHOCI_BENCH_CRANE")
        .map(PathBuf::from)
        .or_else(|| find("crane"))
}

/// crane in the way that takes it the fewest requests, where it is installed.
pub(crate) fn crane(layer: &Path, home: &Path) -> Option<Box<dyn Tool>> {
    Some(Box::new(Crane {
        name: "crane mutate --append",
        steps: 1,
        program: crane_program()?,
        layer: layer.to_owned(),
        home: home.to_owned(),
    }))
}

/// The given binary, or a release build.
pub(crate) fn ohoci_program(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(program) = given {
        return Ok(fs_err::canonicalize(program)?);
    }
    run(cargo().args(["build", "--release", "--bin", "ohoci"]))?;
    Ok(target().join("release/ohoci"))
}

/// Deletes a tool's directory and makes it anew.
pub(crate) fn renew(directory: &Path) -> Result<()> {
    if directory.exists() {
        fs_err::remove_dir_all(directory)?;
    }
    fs_err::create_dir_all(directory)?;
    Ok(())
}

/// A program whose home, and so whatever it keeps, is `home`.
pub(crate) fn at_home(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("HOME", home).current_dir(home);
    for (name, place) in [
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_DATA_HOME", "data"),
    ] {
        command.env(name, home.join(place));
    }
    command
        .env_remove("DOCKER_CONFIG")
        .env_remove("REGISTRY_AUTH_FILE");
    command
}

struct Ohoci {
    program: PathBuf,
    home: PathBuf,
}

impl Tool for Ohoci {
    fn name(&self) -> &str {
        "ohoci"
    }

    fn forget(&self) -> Result<()> {
        renew(&self.home)
    }

    fn run(&self, job: &Job) -> Result<()> {
        let mut command = at_home(&self.program, &self.home);
        command
            .arg("compose")
            .args(["--base", &job.base(), "--deps", &job.deps()]);
        command.args([
            "--env",
            "PATH=/openhands/bin:${PATH}",
            "--entrypoint",
            ENTRYPOINT,
        ]);
        output(command.args(["--push", &job.target()])).map(drop)
    }
}

/// crane takes the layer from a file; it has no way to take one from another repository.
struct Crane {
    name: &'static str,
    steps: usize,
    program: PathBuf,
    layer: PathBuf,
    home: PathBuf,
}

impl Tool for Crane {
    fn name(&self) -> &str {
        self.name
    }

    fn forget(&self) -> Result<()> {
        renew(&self.home)
    }

    fn run(&self, job: &Job) -> Result<()> {
        let crane = || at_home(&self.program, &self.home);
        let (base, target) = (job.base(), job.target());
        let mut mutate = crane();
        mutate.arg("mutate");
        if self.steps == 2 {
            output(
                crane()
                    .args([
                        "append",
                        "--base",
                        &base,
                        "--new_tag",
                        &target,
                        "--new_layer",
                    ])
                    .arg(&self.layer),
            )?;
            mutate.arg(&target);
        } else {
            mutate.arg(&base).arg("--append").arg(&self.layer);
        }
        mutate.args([
            "--env",
            &format!("PATH=/openhands/bin:{BASE_PATH}"),
            "--entrypoint",
            ENTRYPOINT,
        ]);
        output(mutate.args(["--tag", &target])).map(drop)
    }
}

/// skopeo moves images and umoci changes them in between.
struct Umoci {
    skopeo: PathBuf,
    umoci: PathBuf,
    tar: PathBuf,
    home: PathBuf,
}

impl Tool for Umoci {
    fn name(&self) -> &str {
        "skopeo + umoci"
    }

    fn forget(&self) -> Result<()> {
        renew(&self.home)
    }

    fn run(&self, job: &Job) -> Result<()> {
        let skopeo = || {
            let mut command = at_home(&self.skopeo, &self.home);
            command.args(["--insecure-policy", "copy", "--quiet"]);
            command
        };
        let umoci = || at_home(&self.umoci, &self.home);
        let image = "layout:image";
        let path = format!("PATH=/openhands/bin:{BASE_PATH}");
        output(skopeo().args([
            "--src-tls-verify=false",
            &format!("docker://{}", job.base()),
            &format!("oci:{image}"),
        ]))?;
        output(
            umoci()
                .args(["raw", "add-layer", "--image", image])
                .arg(&self.tar),
        )?;
        output(umoci().args([
            "config",
            "--image",
            image,
            "--config.env",
            &path,
            "--config.entrypoint",
            ENTRYPOINT,
        ]))?;
        output(skopeo().args([
            "--dest-tls-verify=false",
            &format!("oci:{image}"),
            &format!("docker://{}", job.target()),
        ]))
        .map(drop)
    }
}

struct Buildah {
    program: PathBuf,
    home: PathBuf,
}

impl Buildah {
    fn command(&self) -> Command {
        let mut command = at_home(&self.program, &self.home);
        command
            .arg("--root")
            .arg(self.home.join("storage"))
            .arg("--runroot")
            .arg(self.home.join("run"));
        command
    }
}

impl Tool for Buildah {
    fn name(&self) -> &str {
        "buildah build + push"
    }

    fn forget(&self) -> Result<()> {
        if self.home.join("storage").exists() {
            output(self.command().args(["rmi", "--all", "--force"]))?;
        }
        fs_err::create_dir_all(self.home.join("context"))?;
        Ok(())
    }

    fn prepare(&self, job: &Job) -> Result<()> {
        Ok(fs_err::write(
            self.home.join("context/Dockerfile"),
            job.dockerfile(),
        )?)
    }

    fn run(&self, job: &Job) -> Result<()> {
        let target = job.target();
        output(self.command().args([
            "build",
            "--quiet",
            "--layers",
            "--tls-verify=false",
            "--tag",
            &target,
            "context",
        ]))?;
        output(
            self.command()
                .args(["push", "--quiet", "--tls-verify=false", &target]),
        )
        .map(drop)
    }
}
