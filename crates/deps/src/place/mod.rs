//! Where the files of Debian packages go below the prefix.
//!
//! A package's tree has the paths that dpkg would unpack (`usr/bin/git`); what comes out has paths
//! below the prefix (`tools/bin/git`). Pure: trees in, trees out.

mod certificates;
mod directories;
mod glob;
mod link;
mod machine;
mod placer;
mod prefix;
mod shortcuts;

pub use directories::{Destination, LOADER, destination};
pub use glob::{Glob, GlobError};
pub(crate) use link::resolve;
pub use link::{Link, relative};
pub use machine::Machine;
pub use placer::{Layout, PlaceError, Placed, Placer};
pub use prefix::{Prefix, PrefixError};
pub use shortcuts::Shortcut;
