//! From a recipe, its lock and the cached files to the finished trees of one platform.
//!
//! Pure but for reading what is cached: nothing is downloaded, nothing is run, nothing is unpacked
//! onto disk but into an unnamed file.

mod conda;
mod earlier;
mod elsewhere;
mod error;
mod features;
mod inputs;
pub(crate) mod packages;
mod python;
mod side_by_side;
mod sources;

pub use earlier::{Earlier, Seen};
pub use error::AssembleError;
pub use features::{Assembled, AssembledLayer, assemble};
pub(crate) use sources::{digest_of, local_inputs};
