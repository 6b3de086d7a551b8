//! Workloads of Kubernetes whose images stay as they are: deps come in as a volume, and what the deps
//! image and a contract change of a config is said in the manifest.
//!
//! * [`manifest`]: files of manifests as JSON trees, and back.
//! * [`workload`]: where in those pods are described, and what is changed there; pure.
//! * [`change`]: what composing would change of an image's config.

pub mod change;
pub mod manifest;
pub mod workload;
