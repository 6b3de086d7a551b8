//! Layers that are unpacked once on a machine, whoever needs them, and images as stacks of them; and packages'
//! files, from which prefixes are linked.
//!
//! [`LayerStore`] is the directory that keeps them. [`keep()`] brings an image's layers into it, side by
//! side, and gives the [`Stack`] of directories that an overlay of the image is mounted from:
//!
//! ```no_run
//! # async fn example(layers: Vec<ohoci_compose::compose::ImageLayer>) -> Result<(), Box<dyn std::error::Error>> {
//! let store = ohoci_node::LayerStore::open("/var/cache/layers".as_ref())?;
//! let stack = ohoci_node::keep(&store, layers, "cannot run the image").await?;
//! for directory in stack.directories() {
//!     println!("{}", directory.display());
//! }
//! # Ok(())
//! # }
//! ```

mod addition;
mod adjust;
mod failure;
mod fitness;
mod index;
mod keep;
mod known;
mod lock;
mod members;
mod package;
mod prune;
mod record;
mod sandboxes;
mod stack;
mod store;
mod usage;
mod verify;
mod write;

pub use addition::{Added, AddedFile, Adding, Addition};
pub use keep::keep;
pub use known::KnownLayers;
pub use package::{AskedPackage, KeptPackage, UnpackingPackage};
pub use prune::{Pruned, Retention};
pub use sandboxes::{KeptSandbox, SandboxError};
pub use stack::Stack;
pub use store::{Kind, LayerStore, StoreError};
pub use usage::{KeptLayer, Usage};
pub use verify::Verified;

#[cfg(test)]
mod tests;
