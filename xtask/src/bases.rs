//! `cargo xtask fixtures bases`: many small real base images, shaped like SWE-bench's.
//!
//! All have the root file system's layer, one in twenty an environment layer of its own that the
//! others share, and each a layer for its instance (`swebench/harness/dockerfiles` of SWE-bench
//! builds them so), every image in a repository of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::wire::{Connection, with_digest};

/// Images that share an environment, as in SWE-bench Verified: 500 images, some 25 environments.
const PER_ENVIRONMENT: usize = 20;
/// Bytes of an environment's and of an instance's file.
const ENVIRONMENT: usize = 200_000;
const INSTANCE: usize = 4_000;
/// Connections that push at the same time.
const CONNECTIONS: usize = 4;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Push base images that are shaped like SWE-bench's and print their references.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many.
    count: usize,
    /// A registry open for writing over plain HTTP.
    #[arg(long, value_name = "HOST:PORT")]
    registry: SocketAddr,
    /// The first part of the repositories' names.
    #[arg(long, default_value = "swebench")]
    prefix: String,
    /// A root file system as a tar; without it, it is a shell.
    #[arg(long, value_name = "TAR")]
    rootfs: Option<PathBuf>,
}

/// An image in a registry.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) repository: String,
    pub(crate) digest: String,
}

/// A gzipped layer.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
    diff_id: String,
}

/// Runs the task.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let rootfs = arguments.rootfs.as_deref();
    for base in push(
        arguments.count,
        arguments.registry,
        &arguments.prefix,
        rootfs,
    )? {
        println!("{}/{}:latest", arguments.registry, base.repository);
    }
    Ok(())
}

/// Pushes `count` bases, the same bytes each time and everywhere.
pub(crate) fn push(
    count: usize,
    registry: SocketAddr,
    prefix: &str,
    rootfs: Option<&Path>,
) -> Result<Vec<Base>> {
    let root = Layer::of_tar(&match rootfs {
        Some(file) => fs_err::read(file)?,
        None => shell()?,
    })?;
    let environments = (0..count.div_ceil(PER_ENVIRONMENT))
        .map(|number| {
            let path = format!("opt/miniconda3/envs/testbed/{number}.bin");
            Layer::of_files(&[(&path, &noise(1 + number as u64, ENVIRONMENT), 0o644)])
        })
        .collect::<Result<Vec<_>>>()?;
    let name = |number: usize| format!("{prefix}/sweb.eval.x86_64.{number:04}");
    let one = |connection: &mut Connection, number: usize| -> Result<Base> {
        let environment = number % environments.len();
        let instance = Layer::of_files(&[
            (
                &format!("testbed/file{number}.py"),
                &noise(1_000_000 + number as u64, INSTANCE),
                0o644,
            ),
            (
                "testbed/README",
                format!("instance {number}").as_bytes(),
                0o644,
            ),
        ])?;
        let repository = name(number);
        let first = (number > 0).then(|| name(0));
        put_layer(connection, &repository, &root, first.as_deref())?;
        let shared = environments.get(environment).context("no environment")?;
        let first = (number != environment).then(|| name(environment));
        put_layer(connection, &repository, shared, first.as_deref())?;
        put_layer(connection, &repository, &instance, None)?;
        let config = json!({
            "Env": ["PATH=/opt/miniconda3/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TZ=Etc/UTC"],
            "Cmd": ["/bin/bash"], "WorkingDir": "/testbed/",
        });
        let digest = put_image(
            connection,
            &repository,
            "latest",
            &[&root, shared, &instance],
            &config,
        )?;
        Ok(Base { repository, digest })
    };

    // The first of each environment alone, since the others mount its layers.
    let mut connection = Connection::open(registry)?;
    let mut bases = (0..environments.len().min(count))
        .map(|number| one(&mut connection, number))
        .collect::<Result<Vec<_>>>()?;
    let next = AtomicUsize::new(bases.len());
    let rest = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> Result<Vec<Base>> {
                    let mut connection = Connection::open(registry)?;
                    let mut made = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok(made);
                        }
                        made.push(one(&mut connection, number)?);
                    }
                })
            })
            .collect();
        let mut made = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(some) => made.extend(some?),
                Err(_) => bail!("a thread that pushes bases failed"),
            }
        }
        Ok(made)
    })?;
    bases.extend(rest);
    bases.sort_by(|a, b| a.repository.cmp(&b.repository));
    Ok(bases)
}

/// Pushes an image whose layers are there; returns the manifest's digest.
pub(crate) fn put_image(
    connection: &mut Connection,
    repository: &str,
    tag: &str,
    layers: &[&Layer],
    runtime: &Value,
) -> Result<String> {
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    let history: Vec<Value> = layers
        .iter()
        .map(|_| json!({"created": "2024-01-01T00:00:00Z", "created_by": "a generated layer"}))
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2024-01-01T00:00:00Z",
        "config": runtime, "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    });
    let config = config.to_string().into_bytes();
    put_blob(connection, repository, &config, &sha256(&config))?;
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| json!({"mediaType": LAYER, "size": layer.bytes.len(), "digest": layer.digest}))
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": CONFIG, "size": config.len(), "digest": sha256(&config)},
        "layers": descriptors,
    });
    let manifest = manifest.to_string().into_bytes();
    let target = format!("/v2/{repository}/manifests/{tag}");
    connection.expect(201, "PUT", &target, MANIFEST, &manifest)?;
    Ok(sha256(&manifest))
}

/// Mounts a layer where another repository has it, else uploads it.
pub(crate) fn put_layer(
    connection: &mut Connection,
    repository: &str,
    layer: &Layer,
    from: Option<&str>,
) -> Result<()> {
    if let Some(from) = from {
        let target = format!(
            "/v2/{repository}/blobs/uploads/?mount={}&from={from}",
            layer.digest
        );
        connection.expect(201, "POST", &target, "", &[])?;
        return Ok(());
    }
    put_blob(connection, repository, &layer.bytes, &layer.digest)
}

fn put_blob(
    connection: &mut Connection,
    repository: &str,
    bytes: &[u8],
    digest: &str,
) -> Result<()> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let opened = connection.expect(202, "POST", &target, "", &[])?;
    let place = with_digest(&opened.location, digest);
    connection.expect(201, "PUT", &place, "application/octet-stream", bytes)?;
    Ok(())
}

impl Layer {
    /// Compresses a tar.
    pub(crate) fn of_tar(tar: &[u8]) -> Result<Self> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(tar)?;
        let bytes = encoder.finish()?;
        Ok(Self {
            digest: sha256(&bytes),
            diff_id: sha256(tar),
            bytes,
        })
    }

    /// Packs files, given as path, content and mode.
    pub(crate) fn of_files(files: &[(&str, &[u8], u32)]) -> Result<Self> {
        Self::of_tar(&tar(files)?)
    }
}

fn tar(files: &[(&str, &[u8], u32)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        builder.append_data(&mut header, path, *content)?;
    }
    Ok(builder.into_inner()?)
}

/// A root file system that is only a shell.
fn shell() -> Result<Vec<u8>> {
    let program = fs_err::read("/bin/busybox")
        .context("busybox-static is not installed; run cargo xtask test")?;
    tar(&[
        ("bin/sh", &program, 0o755),
        ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644),
    ])
}

/// The same bytes for the same seed on every machine, which no compression makes small
/// (xorshift64*).
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use testbed::{DockerRegistry, Settings};

    #[test]
    fn the_same_bases_every_time_with_the_layers_shared_as_swe_bench_shares_them() {
        let digests = || {
            let registry = DockerRegistry::start(&Settings::default()).unwrap();
            let bases = push(41, registry.address(), "swebench", None).unwrap();
            let mut connection = Connection::open(registry.address()).unwrap();
            let layers: Vec<Vec<String>> = bases
                .iter()
                .map(|base| {
                    let target = format!("/v2/{}/manifests/latest", base.repository);
                    let answer = connection.expect(200, "GET", &target, "", &[]).unwrap();
                    let manifest: Value = serde_json::from_slice(&answer.body).unwrap();
                    let layers = manifest["layers"].as_array().unwrap();
                    layers.iter().map(|l| l["digest"].to_string()).collect()
                })
                .collect();
            let different = |at: usize| {
                let found: std::collections::BTreeSet<_> =
                    layers.iter().map(|list| &list[at]).collect();
                found.len()
            };
            assert_eq!([different(0), different(1), different(2)], [1, 3, 41]);
            bases
                .into_iter()
                .map(|base| base.digest)
                .collect::<Vec<_>>()
        };
        assert_eq!(digests(), digests());
    }
}
