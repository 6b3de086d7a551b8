//! Turns packages into the layers of a prefix such as `/openhands` that works on any base.
//!
//! [`lock()`](lock()) resolves a recipe and writes its lock; [`build()`](build()) makes an image of it, from the lock
//! to what is pushed:
//!
//! ```no_run
//! use std::num::NonZeroUsize;
//! use std::path::Path;
//!
//! use ohoci_deps::fetching::Missing;
//! use ohoci_deps::recipe::{Recipe, Selection};
//! use ohoci_deps::{Build, BuildObserver, NewLock, Session, build};
//! use ohoci_image::media_type::Compression;
//! use ohoci_sandbox::{Limiter, Limits};
//!
//! #[derive(Debug)]
//! struct Quiet;
//! impl BuildObserver for Quiet {
//!     fn locked(&self, _: &NewLock) {}
//!     fn gone(&self, _: &Missing) {}
//!     fn limited(&self, _: &Limiter) {}
//! }
//!
//! # async fn example(session: &Session<'_>) -> Result<(), Box<dyn std::error::Error>> {
//! let recipe = Recipe::load(Path::new("layers/minimal.toml"))?;
//! let job = Build {
//!     recipe: &recipe,
//!     selection: Selection::default(),
//!     platforms: recipe.platforms.clone(),
//!     push: vec!["registry.example/openhands/deps:1.2".parse()?],
//!     directories: Vec::new(),
//!     locked: true,
//!     offline: false,
//!     attach_sbom: false,
//!     compression: Compression::Gzip,
//!     seekable: false,
//!     level: None,
//!     created: None,
//!     threads: NonZeroUsize::MIN,
//!     limits: Limits::default(),
//!     maker: None,
//! };
//! let built = build(&job, session, &Quiet).await?;
//! println!("{}", built.report.digest);
//! # Ok(())
//! # }
//! ```
//!
//! The rooms, from the bottom up:
//!
//! * [`recipe`]: what a person asks for.
//! * [`mod@lock`]: what that came to: names, versions, sizes, digests; no hosts.
//! * [`deb822`]: the stanzas that Debian's indexes, control files and sources are made of.
//! * [`hosts`]: where this machine's package managers find their mirrors.
//! * [`fetch`]: locked files into the cache.
//! * [`archive`]: tars, zips and directories as trees, and the spool that holds their contents.
//! * [`debian`]: Debian's archives: signatures, indexes, closure, packages.
//! * [`python`]: wheels and source distributions as trees, resolution, indexes.
//! * [`conda`]: channels, lists and packages of conda, which `ohoci-conda` links.
//! * [`npm`]: lockfiles and tarballs as trees, resolution, registries.
//! * [`locking`]: from a recipe to its lock.
//! * [`fetching`]: from a lock to files in the cache.
//! * [`place`]: where a package's files go below the prefix.
//! * [`relocate`]: edits that make programs and scripts work there.
//! * `files`: all layers as one file tree.
//! * [`audit`]: gates and reports over the finished trees.
//! * [`contents`]: what a layer says of itself.
//! * [`assemble`]: from a lock and cached files to the finished trees of one platform.
//! * [`rootfs`]: the same, for a system of its own.
//! * [`bytecode`]: Python modules of such trees, compiled.
//! * `sbom`: bills of materials from a lock.
//! * `session`: what all of that is done with.
//! * `locked`: a recipe's lock as a file.
//! * [`mod@build`]: all of it, in one call.
//! * [`built`], [`packages`], [`comparison`]: deps images read back, whose files are whose, and what
//!   changed between two.
//!
//! No program of a package ever runs and nothing is ever unpacked onto disk, but for
//! [`bytecode`], which is asked for by name and runs in a sandbox.

pub mod archive;
pub mod assemble;
pub mod audit;
pub mod build;
pub mod built;
pub mod bytecode;
pub mod comparison;
pub mod conda;
pub mod contents;
pub mod deb822;
pub mod debian;
pub mod fetch;
pub mod fetching;
mod files;
pub mod hosts;
pub mod lock;
mod locked;
pub mod locking;
pub mod npm;
pub mod packages;
pub mod place;
pub mod python;
pub mod recipe;
pub mod relocate;
pub mod rootfs;
mod sbom;
mod session;

pub use build::{Build, BuildError, BuildObserver, Built, build};
pub use locked::{LockError, NewLock, current, current_or_new, lock};
pub use session::Session;
