//! A registry that has a base for every number, made when it is asked for: what a gateway reads when
//! hundreds of thousands of images are pulled through it.
//!
//! `base/N` is read with a redirect for layers, as from registries that keep them in a storage;
//! `streamed/N` without. `deps` is what goes on them. All have the tag `latest`, and nothing can be pushed.

#![expect(
    clippy::unwrap_used,
    reason = "what tests are made of either works or fails the test"
)]

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// How many layers a base has: as many as SWE-bench's and common images.
const LAYERS: usize = 8;

/// A server that runs until the process ends.
#[derive(Debug)]
pub struct GeneratedBases {
    address: SocketAddr,
    state: Arc<State>,
}

/// What was asked of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Requests that a registry answers.
    pub requests: u64,
    /// Those among them that would change something.
    pub writes: u64,
    /// Bytes of layers that it sent.
    pub layer_bytes: u64,
    /// Requests for layers that were answered with a redirect.
    pub redirects: u64,
    /// Bytes of layers that its storage sent.
    pub storage_bytes: u64,
}

#[derive(Debug)]
struct State {
    /// Where layers are, for those who follow redirects.
    storage: SocketAddr,
    layer: Arc<[u8]>,
    layer_digest: String,
    requests: AtomicU64,
    writes: AtomicU64,
    layer_bytes: AtomicU64,
    redirects: AtomicU64,
    storage_bytes: AtomicU64,
}

/// An image, or a part of one.
struct Document {
    media_type: &'static str,
    bytes: Vec<u8>,
}

/// What a request is answered with.
enum Answer {
    Document(Document),
    Layer,
    Redirect,
    Nothing(u16),
}

impl GeneratedBases {
    /// Starts it; `layer` is the bottom layer of every base.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(layer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let storage = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            storage: storage.local_addr().unwrap(),
            layer_digest: digest(&layer),
            layer: layer.into(),
            requests: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            layer_bytes: AtomicU64::new(0),
            redirects: AtomicU64::new(0),
            storage_bytes: AtomicU64::new(0),
        });
        let address = listener.local_addr().unwrap();
        for (listener, is_storage) in [(listener, false), (storage, true)] {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for connection in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    // A client that goes away is no fault of ours.
                    std::thread::spawn(move || drop(state.converse(&connection, is_storage)));
                }
            });
        }
        Self { address, state }
    }

    /// Where the registry is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The digest of the layer that all bases have.
    #[must_use]
    pub fn layer(&self) -> &str {
        &self.state.layer_digest
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Asked {
            requests: read(&self.state.requests),
            writes: read(&self.state.writes),
            layer_bytes: read(&self.state.layer_bytes),
            redirects: read(&self.state.redirects),
            storage_bytes: read(&self.state.storage_bytes),
        }
    }
}

impl State {
    fn converse(&self, connection: &TcpStream, is_storage: bool) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut words = line.split(' ');
            let method = words.next().unwrap_or_default().to_owned();
            let path = words.next().unwrap_or_default().to_owned();
            // Nobody sends it a body: what would have one is refused, and the connection ends.
            loop {
                line.clear();
                if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                    break;
                }
            }
            let reads = matches!(method.as_str(), "GET" | "HEAD");
            let answer = if is_storage {
                Answer::Layer
            } else {
                self.requests.fetch_add(1, Ordering::Relaxed);
                if reads {
                    self.answer(&path)
                } else {
                    self.writes.fetch_add(1, Ordering::Relaxed);
                    Answer::Nothing(405)
                }
            };
            let sent = match is_storage {
                true => &self.storage_bytes,
                false => &self.layer_bytes,
            };
            self.send(connection, &answer, method == "HEAD", sent)?;
            if !reads {
                return Ok(());
            }
        }
    }

    fn answer(&self, path: &str) -> Answer {
        let path = path.split('?').next().unwrap_or_default();
        let Some(path) = path.strip_prefix("/v2/") else {
            return Answer::Nothing(404);
        };
        if path.is_empty() {
            return Answer::Document(Document {
                media_type: "application/json",
                bytes: b"{}".to_vec(),
            });
        }
        let is_manifest = path.contains("/manifests/");
        let parts = path
            .split_once("/manifests/")
            .or_else(|| path.split_once("/blobs/"));
        let Some((repository, wanted)) = parts else {
            return Answer::Nothing(404);
        };
        let number = match repository.split_once('/') {
            Some(("base" | "streamed", number)) => number.parse::<u64>().ok(),
            None if repository == "deps" => Some(0),
            _ => None,
        };
        let Some(number) = number else {
            return Answer::Nothing(404);
        };
        if !is_manifest && wanted == self.layer_digest {
            return match repository.starts_with("base/") {
                true => Answer::Redirect,
                false => Answer::Layer,
            };
        }
        let config = self.config(repository, number);
        let found = match is_manifest {
            true => self.manifest(repository, number, &config),
            false => config,
        };
        match wanted == "latest" && is_manifest || wanted == digest(&found.bytes) {
            true => Answer::Document(found),
            false => Answer::Nothing(404),
        }
    }

    /// The digests of an image's layers, of which only the bottom one of bases can be read.
    fn layers(&self, repository: &str, number: u64) -> Vec<String> {
        if repository == "deps" {
            return vec![digest(b"deps")];
        }
        (0..LAYERS)
            .map(|at| match at {
                0 => self.layer_digest.clone(),
                // The last is the base's own; those between are everybody's.
                _ if at + 1 == LAYERS => digest(format!("{repository} {number}").as_bytes()),
                _ => digest(format!("{at}").as_bytes()),
            })
            .collect()
    }

    fn config(&self, repository: &str, number: u64) -> Document {
        let layers = self.layers(repository, number);
        let diff_ids: Vec<String> = layers
            .iter()
            .map(|layer| format!("\"{}\"", digest(layer.as_bytes())))
            .collect();
        let history: Vec<String> = (0..layers.len())
            .map(|at| {
                format!(
                    "{{\"created\":\"2024-01-01T00:00:00Z\",\"created_by\":\"RUN step {at} of {repository} # {}\"}}",
                    "a command such as Dockerfiles have them ".repeat(4)
                )
            })
            .collect();
        let bytes = format!(
            "{{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2024-01-01T00:00:00Z\",\"config\":{{\
             \"Env\":[\"PATH=/usr/local/bin:/usr/bin:/bin\",\"NUMBER={number}\"],\"WorkingDir\":\"/testbed\"}},\
             \"rootfs\":{{\"type\":\"layers\",\"diff_ids\":[{}]}},\"history\":[{}]}}",
            diff_ids.join(","),
            history.join(",")
        );
        Document {
            media_type: "application/octet-stream",
            bytes: bytes.into_bytes(),
        }
    }

    fn manifest(&self, repository: &str, number: u64, config: &Document) -> Document {
        let layers: Vec<String> = self
            .layers(repository, number)
            .iter()
            .map(|layer| {
                format!(
                    "{{\"mediaType\":\"{LAYER}\",\"digest\":\"{layer}\",\"size\":{}}}",
                    self.layer.len()
                )
            })
            .collect();
        let bytes = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST}\",\"config\":{{\"mediaType\":\"{CONFIG}\",\
             \"digest\":\"{}\",\"size\":{}}},\"layers\":[{}]}}",
            digest(&config.bytes),
            config.bytes.len(),
            layers.join(",")
        );
        Document {
            media_type: MANIFEST,
            bytes: bytes.into_bytes(),
        }
    }

    fn send(
        &self,
        mut connection: &TcpStream,
        answer: &Answer,
        is_head: bool,
        sent: &AtomicU64,
    ) -> io::Result<()> {
        let (status, more, body) = match answer {
            Answer::Document(document) => (
                200,
                format!(
                    "Content-Type: {}\r\nDocker-Content-Digest: {}\r\n",
                    document.media_type,
                    digest(&document.bytes)
                ),
                document.bytes.as_slice(),
            ),
            Answer::Layer => (
                200,
                "Content-Type: application/octet-stream\r\n".to_owned(),
                self.layer.as_ref(),
            ),
            Answer::Redirect => {
                self.redirects.fetch_add(1, Ordering::Relaxed);
                let place = format!("http://{}/{}", self.storage, self.layer_digest);
                (307, format!("Location: {place}\r\n"), [].as_slice())
            }
            Answer::Nothing(status) => (*status, String::new(), [].as_slice()),
        };
        let mut message = format!(
            "HTTP/1.1 {status} -\r\n{more}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        let is_layer = matches!(answer, Answer::Layer);
        if !is_head && !is_layer {
            message.extend_from_slice(body);
        }
        connection.write_all(&message)?;
        if !is_head && is_layer {
            for piece in body.chunks(64 << 10) {
                connection.write_all(piece)?;
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
