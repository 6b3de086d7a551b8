//! What OpenHands expects of images: the tags it looks them up by, the paths and settings that its
//! launchers take for granted, and whether an image has them.
//!
//! Tags, contracts and their checks are pure. [`contract::server`] and [`tags::Naming`] read deps images
//! through a resolver.

pub mod code;
pub mod contract;
pub mod tags;
