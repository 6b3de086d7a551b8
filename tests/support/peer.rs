//! Reads and writes a registry by plain HTTP requests, without any code of ohoci.

use std::future::Future;
use std::sync::LazyLock;
use std::thread;

use ohoci_image::Digest;
use ohoci_image::media_type::ACCEPT;
use reqwest::{Certificate, Client, Identity, Method, StatusCode};

use tokio::runtime::{Builder, Runtime};

use super::certificates::{Authority, Certified};
use super::debian_registry::{PASSWORD, USER};

/// What a peer shows the registry.
#[derive(Debug, Clone)]
pub(crate) enum Access {
    /// Nothing.
    Anonymous,
    /// The tests' user and password.
    Password,
    /// A bearer token.
    Token(String),
}

/// A client of one registry. Its calls block, and fail the test when the registry refuses.
pub(crate) struct Peer {
    url: String,
    access: Access,
    client: Client,
}

/// An answer of a registry.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) media_type: String,
    pub(crate) location: String,
    pub(crate) body: Vec<u8>,
}

impl Peer {
    pub(crate) fn new(
        url: &str,
        access: Access,
        authority: Option<&Authority>,
        client: Option<&Certified>,
    ) -> Self {
        let mut builder = Client::builder().no_proxy();
        if let Some(authority) = authority {
            let pem = fs_err::read(authority.file()).unwrap();
            builder = builder.tls_certs_only([Certificate::from_pem(&pem).unwrap()]);
        }
        if let Some(client) = client {
            let mut pem = fs_err::read(&client.certificate).unwrap();
            pem.extend(fs_err::read(&client.key).unwrap());
            builder = builder.identity(Identity::from_pem(&pem).unwrap());
        }
        Self {
            url: url.to_owned(),
            access,
            client: builder.build().unwrap(),
        }
    }

    /// A peer that takes whatever certificate the registry shows.
    pub(crate) fn trusting(url: &str) -> Self {
        let builder = Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true);
        Self {
            url: url.to_owned(),
            access: Access::Anonymous,
            client: builder.build().unwrap(),
        }
    }

    /// Reads a path, whatever the answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", Vec::new()).unwrap()
    }

    /// Sends one request, whatever the answer; the error says why there is none.
    pub(crate) fn send(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, String> {
        let url = if path.starts_with('/') {
            format!("{}{path}", self.url)
        } else {
            path.to_owned()
        };
        let mut request = self
            .client
            .request(method, url)
            .header("Accept", ACCEPT.join(", "))
            .body(body);
        if !media_type.is_empty() {
            request = request.header("Content-Type", media_type);
        }
        request = match &self.access {
            Access::Anonymous => request,
            Access::Password => request.basic_auth(USER, Some(PASSWORD)),
            Access::Token(token) => request.bearer_auth(token),
        };
        block_on(async {
            let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
            let header = |name| {
                answer
                    .headers()
                    .get(name)
                    .map_or("", |value| value.to_str().unwrap())
                    .to_owned()
            };
            Ok(Answer {
                status: answer.status(),
                media_type: header("Content-Type"),
                location: header("Location"),
                body: answer
                    .bytes()
                    .await
                    .map_err(|error| format!("{error:?}"))?
                    .to_vec(),
            })
        })
    }

    /// Uploads a blob in the two requests that every registry takes; returns its digest.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let open = self.expect(
            Method::POST,
            &format!("/v2/{repository}/blobs/uploads/"),
            "",
            Vec::new(),
        );
        let join = if open.location.contains('?') {
            '&'
        } else {
            '?'
        };
        let place = format!("{}{join}digest={digest}", open.location);
        self.expect(
            Method::PUT,
            &place,
            "application/octet-stream",
            bytes.to_vec(),
        );
        digest
    }

    /// Writes a manifest under a tag or its digest.
    pub(crate) fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) {
        self.expect(
            Method::PUT,
            &format!("/v2/{repository}/manifests/{reference}"),
            media_type,
            bytes.to_vec(),
        );
    }

    /// A manifest and its media type.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> (String, Vec<u8>) {
        let answer = self.expect(
            Method::GET,
            &format!("/v2/{repository}/manifests/{reference}"),
            "",
            Vec::new(),
        );
        (answer.media_type, answer.body)
    }

    /// The bytes of a blob, none when the repository does not have it.
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        let answer = self
            .send(
                Method::GET,
                &format!("/v2/{repository}/blobs/{digest}"),
                "",
                Vec::new(),
            )
            .unwrap();
        if answer.status == StatusCode::NOT_FOUND {
            return None;
        }
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            sha256(&answer.body),
            digest,
            "what the registry holds is not what it says"
        );
        Some(answer.body)
    }

    fn expect(&self, method: Method, path: &str, media_type: &str, body: Vec<u8>) -> Answer {
        let name = format!("{method} {path}");
        let answer = self
            .send(method, path, media_type, body)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(
            answer.status.is_success(),
            "{name}: {} {text}",
            answer.status
        );
        answer
    }
}

/// `sha256:` and the hash in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// Waits for a future. On a thread of its own, so that it works inside and outside of async tests;
/// on one runtime for all, so that connections live from call to call.
pub(crate) fn block_on<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    });
    thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(future)).join().unwrap())
}
