//! What is compiled, and for what.

use std::collections::BTreeMap;
use std::path::Path;

use crate::recipe::Bytecode;
use ohoci_layer::{LayerPath, Tree};

/// What is compiled, and by what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    /// What the recipe says.
    pub table: &'a Bytecode,
    /// Variables that the modules expect, over those of the sandbox.
    pub environment: &'a BTreeMap<String, String>,
    /// The directory that everything is below.
    pub prefix: &'a LayerPath,
    /// The layers that hold interpreter and sources, lowest first, from the image's root. This
    /// machine can run them.
    pub layers: &'a [&'a Tree],
}

/// The layer that compiled modules are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// The layers that hold its sources, lowest first.
    pub sources: &'a [&'a Tree],
    /// The layers whose sources were compiled, when this machine cannot run the programs in
    /// `sources`.
    pub compiled_from: Option<&'a [&'a Tree]>,
    /// Where temporary files are made.
    pub spool_dir: &'a Path,
}
