//! `cargo xtask bench`: ohoci beside other tools, on the same registry in one run.
//!
//! * [`compose`]: one image, at several round-trip times.
//! * [`batch`]: hundreds of images, and what the registry sustains (`replay`).
//! * [`conda`]: a frozen environment of conda's packages, linked from the cache.
//! * [`pull`]: what the position of the shared layer costs a node that pulls.
//! * [`gateway`]: what a registry that composes costs those who pull through it.
//! * [`deps`]: how long deps images take to build; `deps_docker`: and the same packages by Docker.
//! * [`evaluation`]: what an evaluation of SWE-bench costs beyond its tests.
//! * [`run`]: images that run, the first time and later; `run_peers`, `run_podman`: and how other tools run them;
//!   `run_layers`: what is in them.
//! * [`sign`]: what signatures add to a batch.
//! * [`swebench`]: SWE-bench's images and evaluations; `swebench_docker`: and the same by Docker.
//! * `inputs`: the images and the layer that every tool gets.
//! * `tools`: what each tool is told to do.
//! * `docker`: a Docker daemon of our own.
//! * `own_registry`: ohoci's own registry as a process.
//! * `process`: time and memory of a program.
//! * `table`: medians and Markdown.

pub(crate) mod batch;
pub(crate) mod compose;
pub(crate) mod conda;
pub(crate) mod deps;
mod deps_docker;
pub(crate) mod docker;
pub(crate) mod evaluation;
pub(crate) mod gateway;
mod inputs;
mod own_registry;
mod process;
pub(crate) mod pull;
mod replay;
pub(crate) mod run;
mod run_layers;
mod run_peers;
mod run_podman;
pub(crate) mod sign;
pub(crate) mod swebench;
mod swebench_docker;
mod table;
pub(crate) mod tools;
