//! What a run needs of this machine.

use std::ffi::OsStr;
use std::path::Path;

use ohoci_compose::resolver::Resolver;
use ohoci_node::LayerStore;

/// Where images come from, where their layers are kept, and where a run has its files.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// Opens references.
    pub resolver: &'a Resolver,
    /// Keeps unpacked layers; without it only directories can be run in.
    pub store: Option<&'a LayerStore>,
    /// A directory for files that are gone when the run is over.
    pub scratch: &'a Path,
    /// A `PATH` in which programs of this machine are looked for.
    pub path: Option<&'a OsStr>,
}
