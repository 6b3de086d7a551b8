//! Images of SWE-bench's instances: what `swebench` plans, made of layers. What has to run code runs
//! in a sandbox over the level below, and what it changed becomes a layer. [`images::build`] does what a
//! [`Request`](request::Request) asks for, and [`images::plan`] tells what that would be.

pub mod assembled;
pub mod audit;
pub mod audit_image;
pub mod base;
pub mod base_python;
pub mod base_source;
pub mod builder;
pub mod changes;
pub mod checkout;
pub mod conda_channels;
pub mod conda_choice;
pub mod conda_install;
pub mod conda_python;
pub mod conda_use;
pub mod destination;
pub mod environment;
pub mod error;
pub mod estimate;
pub mod forecast;
pub mod git;
pub mod images;
mod images_error;
pub mod instance;
pub mod interpreter;
pub mod kept;
pub mod observer;
pub mod pip;
pub mod plan;
pub mod planned;
pub mod push;
pub mod python;
pub mod report;
pub mod repository;
pub mod request;
pub mod shim;
pub mod sizes;
pub mod stage;

pub use builder::{Builder, BuiltInstance, Settings};
pub use error::{BuildError, Level};
pub use images_error::ImagesError;
