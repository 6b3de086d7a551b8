//! A server of its own for each test, and short ways to talk to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ohoci_image::{Algorithm, Digest, Hasher, media_type};
use ohoci_server::{Options, RequestRecord, ServeError, Server};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// A running registry. It stops with the test's runtime.
pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
    log: Arc<Mutex<Vec<RequestRecord>>>,
    client: reqwest::Client,
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts the status, and gives the answer back.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{text}");
        self
    }

    /// Asserts a refusal in the form of the specification.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let answer = self.is(status);
        let body = answer.json();
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(body["errors"][0]["code"], code, "{body}");
        assert!(!body["errors"][0]["message"].as_str().unwrap().is_empty());
        answer
    }
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| ())
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, change)
    }

    pub(crate) fn start_in(directory: TempDir, change: impl FnOnce(&mut Options)) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut options = options(directory.path());
        let records = Arc::clone(&log);
        options.log = Some(Arc::new(move |record: &RequestRecord| {
            records.lock().unwrap().push(record.clone());
        }));
        change(&mut options);
        let server = Server::bind(options).unwrap();
        let registry = Self::of(&server, directory, log);
        tokio::spawn(server.run_until(std::future::pending()));
        registry
    }

    /// Runs until `shutdown` completes; the task ends with the server.
    pub(crate) fn start_until(
        directory: TempDir,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> (Self, JoinHandle<Result<(), ServeError>>) {
        let server = Server::bind(options(directory.path())).unwrap();
        let registry = Self::of(&server, directory, Arc::default());
        (registry, tokio::spawn(server.run_until(shutdown)))
    }

    fn of(server: &Server, directory: TempDir, log: Arc<Mutex<Vec<RequestRecord>>>) -> Self {
        Self {
            address: server.address(),
            directory,
            log,
            client: client(),
        }
    }

    /// Sends a request to a path, or to a `Location`.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let url = format!("http://{}{target}", self.address);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.client.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[], "").await
    }

    pub(crate) async fn head(&self, target: &str) -> Answer {
        self.send("HEAD", target, &[], "").await
    }

    pub(crate) async fn delete(&self, target: &str) -> Answer {
        self.send("DELETE", target, &[], "").await
    }

    /// Opens an upload session; its location.
    pub(crate) async fn session(&self, name: &str) -> String {
        let target = format!("/v2/{name}/blobs/uploads/");
        let answer = self.send("POST", &target, &[], "").await.is(202);
        answer.location().to_owned()
    }

    /// Pushes a blob with POST and PUT.
    pub(crate) async fn push_blob(&self, name: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let location = self.session(name).await;
        let target = format!("{location}?digest={digest}");
        self.send("PUT", &target, &[], content.to_vec())
            .await
            .is(201);
        digest
    }

    pub(crate) async fn put_manifest(
        &self,
        name: &str,
        reference: &str,
        manifest: &Value,
    ) -> Answer {
        let kind = manifest["mediaType"].as_str().unwrap();
        let target = format!("/v2/{name}/manifests/{reference}");
        let body = manifest.to_string();
        self.send("PUT", &target, &[("content-type", kind)], body)
            .await
    }

    /// Pushes an image with one layer under a tag; the manifest.
    pub(crate) async fn push_image(&self, name: &str, tag: &str, layer: &[u8]) -> Value {
        self.push_blob(name, b"{}").await;
        self.push_blob(name, layer).await;
        let manifest = image(b"{}", &[layer]);
        self.put_manifest(name, tag, &manifest).await.is(201);
        manifest
    }

    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.log.lock().unwrap().clone()
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub(crate) fn options(directory: &Path) -> Options {
    let mut options = Options::new(([127, 0, 0, 1], 0).into(), directory);
    options.sync = false;
    options
}

pub(crate) fn sha512(content: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(content);
    hasher.finish()
}

pub(crate) fn descriptor(kind: &str, content: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": Digest::of(content).to_string(), "size": content.len() })
}

pub(crate) fn image(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers = layers.iter();
    let layers = layers.map(|layer| descriptor(media_type::OCI_LAYER, layer));
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, config),
        "layers": layers.collect::<Vec<_>>(),
    })
}

pub(crate) fn index(manifests: &[&Value]) -> Value {
    let manifests = manifests.iter().map(|manifest| {
        let kind = manifest["mediaType"].as_str().unwrap();
        descriptor(kind, manifest.to_string().as_bytes())
    });
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::OCI_INDEX,
        "manifests": manifests.collect::<Vec<_>>(),
    })
}

pub(crate) fn digest_of(document: &Value) -> Digest {
    Digest::of(document.to_string().as_bytes())
}

/// Files below a directory, as paths relative to it.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
        for entry in fs_err::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let relative = path.strip_prefix(root).unwrap();
                found.push(relative.to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}
