//! Python packages: wheels and source distributions as trees of a virtual environment, what
//! resolves them, and where they come from.

pub mod configuration;
pub mod distribution;
mod entry_points;
pub mod environment;
mod error;
pub mod index;
mod ini;
mod install;
mod installed;
pub mod layout;
mod left_out;
mod metadata;
mod name;
mod page;
mod pth;
mod pylock;
mod record;
pub mod resolve;
pub mod resolved;
pub mod sdist;
mod stub;
pub mod tags;
pub mod wheel;
mod wheel_name;

pub use distribution::{Distribution, Licences};
pub use environment::Environment;
pub use error::PythonError;
pub use installed::InstalledDistribution;
pub use layout::Layout;
pub use name::PackageName;
pub(crate) use name::requirement_name;
pub use wheel_name::{WheelName, WheelNameError};
