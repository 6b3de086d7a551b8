//! Runs programs in a root file system without privileges: a description of what is to be seen
//! inside, the arguments of bubblewrap that it comes to, and a runner; and images unpacked to a
//! directory by an ordinary user.

pub mod bubblewrap;
pub mod cgroup;
mod control_group;
pub mod defaults;
mod denial;
pub mod description;
pub mod hosts;
pub mod image;
pub mod limits;
mod memory_kills;
pub mod overlay;
pub mod ownership;
pub mod process;
pub mod program;
pub mod remove;
pub mod root;
pub mod run;
pub mod unpack;
mod usage;
pub mod user;

pub use description::{Bind, BindError, HOST_NAME, Network, Sandbox};
pub use hosts::local_hosts;
pub use image::{FoundImage, UnpackedImage, find_image, unpack_image};
pub use limits::{Enforced, Exceeded, LimitGroup, Limiter, Limits};
pub use overlay::{CopyOnWrite, Overlay, Workspace};
pub use process::{Process, ProcessError};
pub use program::ProgramError;
pub use remove::RemovedDirectory;
pub use root::{Root, RootError};
pub use run::{Bubblewrap, Ended, RunError, Streams};
pub use unpack::{Owners, UnpackError, Unpacked, unpack};
pub use user::{User, UserError};
