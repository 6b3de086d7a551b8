//! A small registry (distribution-spec 1.1) whose repositories are OCI image layouts on disk.
//!
//! Every repository `NAME` is the layout `DIR/NAME`, so other tools read it in place and a layout
//! that was put there before the server started is served. How content gets there, and what
//! survives which crash, is told in `storage/mod.rs`.

mod access_log;
mod admission;
mod blobs;
mod failure;
mod listing;
mod manifests;
mod name;
mod options;
mod payload;
mod range;
mod reply;
mod route;
mod serve;
mod storage;
mod uploads;

pub use access_log::RequestRecord;
pub use options::{BasicAuth, Options, RequestLog};
pub use serve::{ServeError, Server};
