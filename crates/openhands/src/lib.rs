//! What OpenHands expects of images: the tags it looks them up by, the paths and settings that its
//! launchers take for granted, and whether an image has them. Nothing here reads or writes anything.

pub mod contract;
pub mod tags;
