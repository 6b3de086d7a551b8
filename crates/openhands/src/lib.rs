//! What OpenHands expects of images; pure functions.

pub mod tags;
