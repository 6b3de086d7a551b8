//! What is audited, and what it is held to.

use crate::place::{Machine, Prefix};
use ohoci_layer::Tree;

/// A layer to look at.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// Its name: the feature's.
    pub name: &'a str,
    /// Its tree, from the image's root.
    pub tree: &'a Tree,
}

/// What the layers are held to.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine that they are for.
    pub machine: Machine,
    /// The prefix, whose `lib` the loader searches by default.
    pub prefix: Prefix,
}
