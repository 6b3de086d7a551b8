//! Programs in images, as `docker run` would start them, on this machine's store of layers: from what
//! was asked for to a sandbox that can be started, and sandboxes that another program steers.

mod copy_on_write;
mod failure;
mod hosts;
mod machine;
pub mod prepare;
mod request;
mod root;
pub mod sandboxes;

pub use failure::RunFailure;
pub use machine::Machine;
pub use prepare::{Prepared, prepare};
pub use request::{Request, RootChoice};
pub use root::{RunRoot, not_kept, open_root};
