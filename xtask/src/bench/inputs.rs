//! The images and the layer that every tool gets: a base in two variants and a folder of tools.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::command::{find, output, run, target};
use crate::fixtures;

/// Repositories of the two bases: the same system, each with a small layer of its own.
pub(crate) const BASES: [&str; 2] = ["base/one", "base/two"];

/// The image that holds only the folder.
pub(crate) const DEPS: &str = "deps/openhands";

/// The environment of the bases, and what has to become of it.
pub(crate) const BASE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
pub(crate) const ENTRYPOINT: &str = "/openhands/bin/tool";

/// Everything on disk that the tools read.
#[derive(Debug)]
pub(crate) struct Inputs {
    /// The folder as a tar, and as a gzipped tar.
    pub(crate) deps_tar: PathBuf,
    pub(crate) deps_gzip: PathBuf,
    base_name: String,
    layout: PathBuf,
}

/// Makes them below `work`, from the given tars where there are any.
pub(crate) fn prepare(
    work: &Path,
    deps: Option<&Path>,
    base: Option<&Path>,
    megabytes: usize,
) -> Result<Inputs> {
    let deps_tar = match deps {
        Some(file) => file.to_owned(),
        None => made_up_folder(work, megabytes)?,
    };
    let (base_tar, base_name) = match base {
        Some(file) => (file.to_owned(), "the given base".to_owned()),
        None => system(work)?,
    };
    let layout = work.join("layout");
    let deps_gzip = gzip(&deps_tar, &work.join("deps.tar.gz"))?;
    let base_gzip = gzip(&base_tar, &work.join("base.tar.gz"))?;

    let mut blobs = Layout {
        directory: &layout,
        index: Vec::new(),
    };
    fs_err::create_dir_all(blobs.blobs())?;
    let system = blobs.layer(&base_tar, &base_gzip)?;
    for name in BASES {
        let file = work.join("own").join("etc");
        fs_err::create_dir_all(&file)?;
        fs_err::write(file.join("image-name"), name)?;
        let own = work.join(name.replace('/', "-"));
        pack(&work.join("own"), "etc", &own)?;
        let own_gzip = gzip(&own, &own.with_extension("gz"))?;
        let layers = [system.clone(), blobs.layer(&own, &own_gzip)?];
        blobs.image(
            name,
            &layers,
            &json!({"Env": [format!("PATH={BASE_PATH}")], "Cmd": ["sh"]}),
        )?;
    }
    let folder = blobs.layer(&deps_tar, &deps_gzip)?;
    blobs.image(DEPS, &[folder], &json!({}))?;
    blobs.finish()?;
    Ok(Inputs {
        deps_tar,
        deps_gzip,
        base_name,
        layout,
    })
}

impl Inputs {
    /// Puts the images into the registry, each into its repository as `latest`.
    pub(crate) fn push(&self, registry: SocketAddr) -> Result<()> {
        let skopeo = find("skopeo").context("skopeo is not installed; run cargo xtask test")?;
        for name in BASES.iter().chain([&DEPS]) {
            let mut command = Command::new(&skopeo);
            command.args([
                "--insecure-policy",
                "copy",
                "--quiet",
                "--preserve-digests",
                "--dest-tls-verify=false",
            ]);
            command.arg(format!("oci:{}:{name}", self.layout.display()));
            output(command.arg(format!("docker://{registry}/{name}:latest")))?;
        }
        Ok(())
    }

    /// One line on what is measured.
    pub(crate) fn description(&self) -> String {
        let size = |file: &Path| fs_err::metadata(file).map_or(0, |data| data.len() / 1_000_000);
        format!(
            "`/openhands` of {} MB ({} MB gzip) on {}",
            size(&self.deps_tar),
            size(&self.deps_gzip),
            self.base_name
        )
    }
}

/// Fails unless the image is there, starts with the folder's path and runs the entrypoint.
pub(crate) fn check(registry: SocketAddr, target: &str) -> Result<()> {
    let skopeo = find("skopeo").context("skopeo is not installed; run cargo xtask test")?;
    let mut command = Command::new(skopeo);
    command.args(["inspect", "--config", "--tls-verify=false"]);
    let text = output(command.arg(format!("docker://{registry}/{target}:latest")))?;
    let config: Value = serde_json::from_str(&text)?;
    let path = json!(format!("PATH=/openhands/bin:{BASE_PATH}"));
    let environment = config["config"]["Env"]
        .as_array()
        .is_some_and(|list| list.contains(&path));
    let layers = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    if !environment || config["config"]["Entrypoint"] != json!([ENTRYPOINT]) || layers != 3 {
        bail!("the image in {target} is not what was asked for: {config}");
    }
    Ok(())
}

/// A folder like a real one: half of it compresses well, half hardly.
fn made_up_folder(work: &Path, megabytes: usize) -> Result<PathBuf> {
    const FILE: usize = 250_000;
    let bin = work.join("folder/openhands/bin");
    let lib = work.join("folder/openhands/lib");
    fs_err::create_dir_all(&bin)?;
    fs_err::create_dir_all(&lib)?;
    fs_err::write(bin.join("tool"), "#!/bin/sh\nexec \"$@\"\n")?;
    // xorshift64: the same bytes on every machine.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    for number in 0..megabytes * 1_000_000 / FILE {
        let mut content = Vec::with_capacity(FILE);
        while content.len() < FILE / 2 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend(state.to_le_bytes());
        }
        while content.len() < FILE {
            content.extend(format!("line {} of file {number}\n", content.len()).bytes());
        }
        fs_err::write(lib.join(format!("{number:05}.bin")), content)?;
    }
    let tar = work.join("deps.tar");
    pack(&work.join("folder"), "openhands", &tar)?;
    Ok(tar)
}

/// A Debian where one can be made, kept between measurements; otherwise a shell in an empty system.
fn system(work: &Path) -> Result<(PathBuf, String)> {
    if find("mmdebstrap").is_some() {
        let kept = target().join("bench/debian.tar");
        if !kept.exists() {
            fs_err::create_dir_all(target().join("bench"))?;
            let unfinished = kept.with_extension("unfinished.tar");
            fixtures::debian_base(&unfinished)?;
            fs_err::rename(unfinished, &kept)?;
        }
        return Ok((kept, "a minimal Debian".to_owned()));
    }
    let busybox = find("busybox").context("neither mmdebstrap nor busybox is installed")?;
    fs_err::create_dir_all(work.join("busybox/bin"))?;
    fs_err::copy(busybox, work.join("busybox/bin/sh"))?;
    let tar = work.join("base.tar");
    pack(&work.join("busybox"), "bin", &tar)?;
    Ok((
        tar,
        "a system that is only a shell (mmdebstrap is not installed)".to_owned(),
    ))
}

fn pack(directory: &Path, name: &str, tar: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.args([
        "--sort=name",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--mtime=@0",
        "-C",
    ]);
    run(command.arg(directory).arg("-cf").arg(tar).arg(name))
}

fn gzip(tar: &Path, out: &Path) -> Result<PathBuf> {
    let program = find("pigz")
        .or_else(|| find("gzip"))
        .context("neither pigz nor gzip is installed")?;
    let file = fs_err::File::create(out)?.into_parts().0;
    let status = Command::new(program)
        .args(["-n", "-c"])
        .arg(tar)
        .stdout(file)
        .status()?;
    if !status.success() {
        bail!("cannot compress {}", tar.display());
    }
    Ok(out.to_owned())
}

/// An OCI layout that is being written.
struct Layout<'a> {
    directory: &'a Path,
    index: Vec<Value>,
}

/// A layer of it.
#[derive(Clone)]
struct Layer {
    descriptor: Value,
    diff_id: String,
}

impl Layout<'_> {
    fn blobs(&self) -> PathBuf {
        self.directory.join("blobs/sha256")
    }

    fn layer(&self, tar: &Path, gzip: &Path) -> Result<Layer> {
        let (diff_id, _) = hash_file(tar)?;
        let (digest, size) = hash_file(gzip)?;
        fs_err::copy(gzip, self.blobs().join(&digest))?;
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": format!("sha256:{digest}"), "size": size,
        });
        Ok(Layer {
            descriptor,
            diff_id: format!("sha256:{diff_id}"),
        })
    }

    fn document(&self, media_type: &str, document: &Value) -> Result<Value> {
        let bytes = document.to_string().into_bytes();
        let digest = hex::encode(Sha256::digest(&bytes));
        fs_err::write(self.blobs().join(&digest), &bytes)?;
        Ok(
            json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()}),
        )
    }

    fn image(&mut self, name: &str, layers: &[Layer], config: &Value) -> Result<()> {
        let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
        let history: Vec<Value> = layers
            .iter()
            .map(|_| json!({"created_by": "a layer of the measurement"}))
            .collect();
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        let config = self.document(
            "application/vnd.oci.image.config.v1+json",
            &json!({
                "architecture": architecture, "os": "linux", "config": config,
                "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
            }),
        )?;
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let descriptors: Vec<&Value> = layers.iter().map(|layer| &layer.descriptor).collect();
        let mut manifest = self.document(
            media_type,
            &json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": descriptors}),
        )?;
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.index.push(manifest);
        Ok(())
    }

    fn finish(self) -> Result<()> {
        fs_err::write(
            self.directory.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        let index = json!({"schemaVersion": 2, "manifests": self.index});
        fs_err::write(self.directory.join("index.json"), index.to_string())?;
        Ok(())
    }
}

fn hash_file(file: &Path) -> Result<(String, u64)> {
    let bytes = fs_err::read(file)?;
    Ok((hex::encode(Sha256::digest(&bytes)), bytes.len() as u64))
}
