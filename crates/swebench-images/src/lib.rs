//! Images of SWE-bench's instances: what `swebench` plans, made of layers. What has to run code runs
//! in a sandbox over the level below, and what it changed becomes a layer. [`images::build`] does what a
//! [`Request`](request::Request) asks for, and [`images::plan`] tells what that would be.

mod assembled;
pub mod audit;
pub mod audit_image;
pub mod base;
mod base_python;
pub mod base_source;
pub mod beyond;
pub mod builder;
mod changes;
mod checkout;
mod conda_channels;
mod conda_choice;
mod conda_install;
mod conda_locks;
mod conda_python;
pub mod conda_use;
pub mod destination;
mod disk;
pub mod division;
pub mod engine;
mod environment;
pub mod error;
mod estimate;
pub mod forecast;
pub mod git;
pub mod hand_over;
pub mod images;
mod images_error;
mod instance;
mod interpreter;
pub mod kept;
pub mod observer;
pub mod pip;
pub mod plan;
pub mod planned;
pub mod push;
mod python;
pub mod report;
pub mod repository;
pub mod request;
pub mod shared_levels;
mod shim;
mod sizes;
pub mod stage;
mod unpacked;

pub use builder::{Builder, BuiltInstance, Settings};
pub use error::{BuildError, Level};
pub use images_error::ImagesError;
