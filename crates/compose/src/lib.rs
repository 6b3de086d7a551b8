//! Plans what has to move where to compose, copy and rebase images, and moves it.
//!
//! A [`Job`](job::Job) says what is asked; [`compose()`](compose::compose) reads, composes, plans and
//! delivers. Nothing here prints: who wants to see what happens gives an [`Observer`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use ohoci_compose::compose::compose;
//! use ohoci_compose::job::Job;
//! use ohoci_compose::resolver::Resolver;
//! use ohoci_compose::{Observer, Unwatched};
//! use ohoci_image::Reference;
//! use ohoci_image::config_patch::ConfigPatch;
//! use ohoci_registry::{Client, Settings};
//! use ohoci_store::cache::Cache;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let work = tempfile::tempdir()?;
//! let target = format!("oci:{}:latest", work.path().join("image").display());
//! let job = Job {
//!     push: vec![target.parse()?],
//!     patch: ConfigPatch {
//!         user: Some("10001".to_owned()),
//!         ..ConfigPatch::default()
//!     },
//!     ..Job::on(Reference::Scratch, work.path().to_owned())
//! };
//! let resolver = Resolver::new(Client::new(Settings::default())?, Arc::new(Cache::disabled()));
//! let observer: Arc<dyn Observer> = Arc::new(Unwatched);
//! let report = compose(&job, &resolver, &observer).await?;
//! assert_eq!(report.reference, Some(target));
//! # Ok(())
//! # })
//! # }
//! ```

pub mod artifact;
pub mod attach;
pub mod batch;
pub mod check;
pub mod compose;
pub mod copy;
pub mod copy_tags;
pub mod deps;
mod execute;
pub mod files;
pub mod fit;
pub mod flatten;
pub mod given_layers;
pub mod index_of;
pub mod inspect;
pub mod job;
pub mod layer_reader;
pub mod local;
pub mod names;
mod one_download;
pub mod owner;
mod partly;
pub mod plan;
pub mod read;
mod real_path;
pub mod recompose;
mod recompress;
mod recorded;
mod referrers;
pub mod report;
pub mod request;
pub mod resolver;
pub mod shipment;
pub mod signatures;
mod sources;
pub mod trust;
pub mod watch;

pub use watch::{Event, Observer, Unwatched};
