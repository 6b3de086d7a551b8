//! Runs programs in a root file system without privileges: a description of what is to be seen
//! inside, the arguments of bubblewrap that it comes to, and a runner.

pub mod abstract_sockets;
pub mod bubblewrap;
pub mod cgroup;
mod control_group;
pub mod covers;
pub mod defaults;
mod denial;
pub mod description;
mod host_user;
pub mod hosts;
mod kernel;
pub(crate) mod launch;
mod launched;
pub mod limits;
mod memory_kills;
mod mounting;
mod open_files;
pub mod overlay;
pub mod process;
pub mod program;
pub mod remove;
mod report;
pub mod root;
pub mod run;
pub mod seccomp;
mod set_up;
mod staging;
mod streams;
mod usage;
pub mod user;
mod words;

pub use description::{Bind, BindError, HOST_NAME, Network, Sandbox};
pub use hosts::local_hosts;
pub use limits::{Enforced, Exceeded, LimitGroup, Limiter, Limits};
pub use overlay::{CopyOnWrite, Overlay, Workspace};
pub use process::{Process, ProcessError};
pub use program::ProgramError;
pub use remove::{RemovedDirectory, private_in};
pub use root::{InUse, Root, RootError};
pub use run::{Bubblewrap, Ended, RunError};
pub use seccomp::Calls;
pub use staging::PrepareError;
pub use streams::Streams;
pub use user::{User, UserError};
