//! A small registry (distribution-spec 1.1) whose repositories are OCI image layouts on disk.
//!
//! Every repository `NAME` is the layout `DIR/NAME`, so other tools read it in place and a layout
//! that was put there before the server started is served. How content gets there, and what
//! survives which crash, is told in `storage/mod.rs`.
//!
//! It can also answer from images that lie nowhere here (`images.rs`), and is read-only then.
//!
//! Clients are strangers: how many are let in is in `limits.rs`, how long they may take in
//! `connections.rs` and `payload.rs`, and what they have to show in `authentication.rs`.

mod abandoned;
mod accept;
mod access;
mod access_log;
mod admission;
mod answer;
mod app;
mod authentication;
mod blobs;
mod claim;
mod composed;
mod connections;
mod failure;
mod htpasswd;
mod images;
mod limits;
mod listing;
mod manifests;
mod metrics;
mod name;
mod options;
mod payload;
mod range;
mod reloaded;
mod reply;
mod route;
mod serve;
mod socket;
mod storage;
mod tls;
mod token_key;
mod token_request;
mod tokens;
mod uploads;

pub use abandoned::remove_abandoned;
pub use access_log::RequestRecord;
pub use images::{Asked, BlobStream, Images, Refusal, RefusalKind, ServedBlob, ServedManifest};
pub use limits::raise_descriptor_limit;
pub use options::{Notice, Options, RequestLog, TokenOptions};
pub use reloaded::FileError;
pub use serve::{ServeError, Server};
pub use tls::TlsFiles;
