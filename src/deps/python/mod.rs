//! Python packages: wheels and source distributions as trees of a virtual environment, what
//! resolves them, and where they come from.

pub mod distribution;
mod entry_points;
pub mod environment;
mod error;
mod install;
mod metadata;
mod name;
mod pth;
mod record;
pub mod sdist;
pub mod tags;
pub mod wheel;
mod wheel_name;

pub use distribution::{Distribution, Licences};
pub use environment::{Environment, Layout};
pub use error::PythonError;
pub use name::{PackageName, requirement_name};
pub use wheel_name::WheelName;
