//! The distribution client: small requests, few of them, and nothing believed that was not checked.
//!
//! * `client`, `repository`: what callers hold.
//! * `manifests`, `blobs`, `mount`, `session`, `upload`, `tags`, `referrers`: what
//!   can be done with a repository, one endpoint of distribution-spec each.
//! * `call`, `send`: one logical request. It is sent again as `retry` says, with the proof that
//!   `authorization` finds, and each time goes over the wire by `exchange`.
//! * `host`: what is known about one registry. `challenge`, `scope`, `token`: authentication.
//! * `ohoci_http`, the crate: where we may be sent, and how connections are made.

mod authenticate;
mod blobs;
mod body;
mod client;
mod credential;
pub mod credentials;
mod error;
mod manifests;
mod mount;
mod referrers;
mod repository;
mod scope;
mod session;
mod settings;
mod statistics;
mod tags;
mod upload;

mod authorization;
mod authorization_header;
mod call;
mod challenge;
mod cloud;
mod download;
mod error_body;
mod exchange;
mod failure;
mod host;
mod link;
mod loopback;
mod one_writer;
mod pacing;
mod reply;
mod retry;
mod retry_after;
mod send;
mod sent;
mod token;
mod token_cache;
mod token_memory;
mod transport;
mod warning;

pub use body::{Body, BodyError, ByteStream};
#[doc(hidden)]
pub use challenge::count_challenges;
pub use client::Client;
pub use credential::{Credential, CredentialError, CredentialSource, NoCredentials, Secret};
pub use download::{BlobLocation, RelayedBlob};
pub use error::{Error, ErrorKind};
pub use manifests::{ManifestHead, PutReceipt};
pub use mount::MountOutcome;
pub use repository::Repository;
pub use scope::Scope;
pub use session::UploadSession;
pub use settings::{HostSettings, Mirror, Settings};
pub use statistics::{RateLimit, Statistics};
pub use token_memory::{NoTokenMemory, TokenMemory, TokenServer};
