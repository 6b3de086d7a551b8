//! Clients that are quick to try again, and what registry tests need again and again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ohoci_http::RetryPolicy;
use ohoci_image::{Descriptor, Digest, Manifest, Pointer, media_type};
use ohoci_registry::{
    Client, Credential, CredentialError, CredentialSource, HostSettings, Repository, Settings,
};

/// One credential for everything.
#[derive(Debug)]
struct Always(Credential);

#[async_trait]
impl CredentialSource for Always {
    async fn credential(&self, _: &str, _: &str) -> Result<Credential, CredentialError> {
        Ok(self.0.clone())
    }
}

/// Waits of milliseconds, three attempts.
pub(crate) fn impatient() -> RetryPolicy {
    RetryPolicy {
        attempts: 3,
        first_delay: Duration::from_millis(2),
        longest_delay: Duration::from_millis(10),
        longest_retry_after: Duration::from_secs(300),
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_millis(400),
        document_timeout: Duration::from_secs(20),
        least_speed: 1000,
        speed_window: Duration::from_secs(10),
        commit_timeout: Duration::from_secs(5),
    }
}

/// A user with a password.
pub(crate) fn user() -> Credential {
    Credential::Basic {
        username: "user".to_owned(),
        password: "secret".into(),
    }
}

/// A client with one credential and the same settings for all hosts.
pub(crate) fn client_with(credential: Credential, settings: HostSettings) -> Client {
    Client::new(Settings {
        hosts: Arc::new(move |_| settings.clone()),
        credentials: Arc::new(Always(credential)),
        user_agent: "ohoci/test".to_owned(),
        retry: impatient(),
        ..Settings::default()
    })
    .unwrap()
}

/// An anonymous client.
pub(crate) fn client() -> Client {
    client_with(Credential::Anonymous, HostSettings::default())
}

/// The repository `a/b` of an anonymous client.
pub(crate) fn repository(host: &str) -> Repository {
    client().repository(host, "a/b")
}

/// A small manifest.
pub(crate) fn manifest() -> Manifest {
    let config = Descriptor::of(media_type::OCI_CONFIG, b"{}");
    let json = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[]}}"#,
        media_type::OCI_MANIFEST,
        serde_json::Value::Object(config.to_json())
    );
    Manifest::parse(json.into_bytes(), None).unwrap()
}

/// The tag `t`.
pub(crate) fn tag() -> Pointer {
    Pointer::Tag("t".to_owned())
}

/// A blob of a size that is easy to recognise.
pub(crate) fn blob(size: usize) -> (Vec<u8>, Descriptor) {
    let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let descriptor = Descriptor::of(media_type::OCI_LAYER, &content);
    (content, descriptor)
}

/// A digest in a query.
pub(crate) fn encoded(digest: &Digest) -> String {
    digest.to_string().replace(':', "%3A")
}

/// An anonymous client with settings per host.
pub(crate) fn client_for_hosts(
    hosts: impl Fn(&str) -> HostSettings + Send + Sync + 'static,
) -> Client {
    Client::new(Settings {
        hosts: Arc::new(hosts),
        retry: impatient(),
        ..Settings::default()
    })
    .unwrap()
}
