//! A daemonless OCI image assembler.
//!
//! To put ready-made layers on a base image nothing has to be built: read the base's manifest and
//! config, append descriptors of layers that already exist, patch the config, push two small
//! documents. The rooms, from the bottom up (each imports only what stands above it in this list):
//!
//! * [`oci`]: documents and the functions over them; no I/O, no clock, no randomness.
//! * [`openhands`]: what OpenHands expects of images, such as their tags; as pure as `oci`.
//! * [`swebench`]: SWE-bench's formats and verdicts; as pure as `oci`.
//! * [`files`]: opening files that somebody names.
//! * [`config`]: files and environment variables that say how ohoci behaves.
//! * [`registry`]: the distribution client.
//! * [`layer`]: file trees, tar in and out, compression.
//! * [`store`]: one pair of traits, many places: registry, OCI layout, archives, local cache.
//! * [`server`]: a small registry that keeps its repositories as OCI layouts.
//! * [`transfer`]: plans what has to move where, and moves it.
//! * [`sandbox`]: runs programs in a root file system without privileges.
//! * [`deps`]: turns packages into the layers of a prefix that works on any base.
//! * [`instances`]: builds the images of SWE-bench's instances.
//! * [`evaluation`]: runs SWE-bench's predictions in sandboxes and grades them.
//! * [`cli`]: arguments, messages, exit codes; the only room that prints.

pub mod cli;
pub mod config;
pub mod deps;
pub mod evaluation;
pub mod files;
pub mod instances;
pub mod layer;
pub mod oci;
pub mod openhands;
pub mod registry;
pub mod sandbox;
pub mod server;
pub mod store;
pub mod swebench;
pub mod transfer;
