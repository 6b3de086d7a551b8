//! What a registry sustains: the requests of a batch sent again without anything thought about.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use testbed::Traffic;

use crate::bases::sha256;
use crate::wire::{Connection, with_digest};

/// What a batch sent, sorted by image.
#[derive(Debug)]
pub(crate) struct Recording {
    /// Manifests are refused while a layer is missing, so all mounts come first.
    mounts: Vec<Vec<Step>>,
    /// Reads and writes of each image.
    images: Vec<Vec<Step>>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Anything without a body.
    Plain {
        method: &'static str,
        target: String,
    },
    /// Opening an upload, and its end.
    Blob { bytes: Vec<u8> },
    /// Putting a manifest under a tag.
    Manifest {
        tag: String,
        media_type: String,
        bytes: Vec<u8>,
    },
}

impl Recording {
    /// Sorts what a relay saw of a batch into `target`; bodies are read back from the registry.
    pub(crate) fn new(traffic: &Traffic, registry: SocketAddr, target: &str) -> Result<Self> {
        let mut connection = Connection::open(registry)?;
        let mut images: BTreeMap<String, Vec<Step>> = BTreeMap::new();
        let mut mounts = Vec::new();
        let mut documents = Vec::new();
        let (uploads, manifests) = (
            format!("/v2/{target}/blobs/uploads/"),
            format!("/v2/{target}/manifests/"),
        );
        for exchange in &traffic.exchanges {
            let path = exchange.path.as_str();
            let plain = |method| Step::Plain {
                method,
                target: path.to_owned(),
            };
            if let Some(tag) = path.strip_prefix(&manifests) {
                if exchange.method == "PUT" {
                    documents.push(tag.to_owned());
                }
            } else if path.starts_with(&uploads) {
                // Openings and ends without `mount` are the configs': one of each per manifest.
                if path.contains("mount=") {
                    mounts.push(vec![plain("POST")]);
                }
            } else {
                let method = match exchange.method.as_str() {
                    "GET" => "GET",
                    "HEAD" => "HEAD",
                    other => bail!("{other} {path} is not what a batch sends"),
                };
                let rest = path.strip_prefix("/v2/").unwrap_or(path);
                let end = rest.find("/manifests/").or_else(|| rest.find("/blobs/"));
                let repository = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
                images
                    .entry(repository.to_owned())
                    .or_default()
                    .push(plain(method));
            }
        }
        let mut writes = Vec::new();
        for tag in documents {
            let place = format!("{manifests}{tag}");
            let answer = connection.expect(200, "GET", &place, "", &[])?;
            let manifest: Value = serde_json::from_slice(&answer.body)?;
            let config = manifest["config"]["digest"].as_str().context("no config")?;
            let place = format!("/v2/{target}/blobs/{config}");
            let config = connection.expect(200, "GET", &place, "", &[])?.body;
            let media_type = manifest["mediaType"].as_str().unwrap_or_default();
            writes.push([
                Step::Blob { bytes: config },
                Step::Manifest {
                    tag,
                    media_type: media_type.to_owned(),
                    bytes: answer.body,
                },
            ]);
        }
        // Which image reads what does not matter to the load; that each connection reads and
        // writes in turn does.
        let mut images: Vec<Vec<Step>> = images.into_values().collect();
        images.resize_with(images.len().max(writes.len()), Vec::new);
        for (steps, write) in images.iter_mut().zip(writes) {
            steps.extend(write);
        }
        Ok(Self { mounts, images })
    }

    /// How many requests a replay sends.
    pub(crate) fn requests(&self) -> usize {
        let all = self.images.iter().chain(&self.mounts).flatten();
        all.map(|step| match step {
            Step::Blob { .. } => 2,
            Step::Plain { .. } | Step::Manifest { .. } => 1,
        })
        .sum()
    }

    /// Sends everything over so many connections into another repository, and says how long it
    /// took.
    pub(crate) fn replay(
        &self,
        registry: SocketAddr,
        from: &str,
        into: &str,
        connections: usize,
    ) -> Result<Duration> {
        let mut open = (0..connections)
            .map(|_| Connection::open(registry))
            .collect::<Result<Vec<_>>>()?;
        let start = Instant::now();
        for lists in [&self.mounts, &self.images] {
            all(&mut open, lists, from, into)?;
        }
        Ok(start.elapsed())
    }
}

fn all(open: &mut [Connection], lists: &[Vec<Step>], from: &str, into: &str) -> Result<()> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let workers: Vec<_> = open
            .iter_mut()
            .map(|connection| {
                let next = &next;
                scope.spawn(move || -> Result<()> {
                    while let Some(steps) = lists.get(next.fetch_add(1, Ordering::Relaxed)) {
                        for step in steps {
                            send(connection, step, from, into)?;
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a connection of the load generator failed"),
            }
        }
        Ok(())
    })
}

fn send(connection: &mut Connection, step: &Step, from: &str, into: &str) -> Result<()> {
    match step {
        Step::Plain { method, target } => {
            let target = target.replacen(&format!("/v2/{from}/"), &format!("/v2/{into}/"), 1);
            let answer = connection.send(method, &target, "", &[])?;
            let mount = *method == "POST";
            if answer.status >= 300 || (mount && answer.status != 201) {
                bail!("{method} {target}: {}", answer.status);
            }
        }
        Step::Blob { bytes } => {
            let target = format!("/v2/{into}/blobs/uploads/");
            let opened = connection.expect(202, "POST", &target, "", &[])?;
            let place = with_digest(&opened.location, &sha256(bytes));
            connection.expect(201, "PUT", &place, "application/octet-stream", bytes)?;
        }
        Step::Manifest {
            tag,
            media_type,
            bytes,
        } => {
            let target = format!("/v2/{into}/manifests/{tag}");
            connection.expect(201, "PUT", &target, media_type, bytes)?;
        }
    }
    Ok(())
}
