//! Files and environment variables that say how ohoci behaves.

mod certificates;
pub mod environment;
pub mod error;
mod limits;
mod load;
pub mod mirrors;
mod project;
mod registries;
pub mod secrets;
pub mod text;
mod trust;

pub use certificates::{HostCertificates, certificate_roots, certificates_for};
pub use environment::{Environment, Variable};
pub use error::ConfigError;
pub use limits::{LimitSettings, NetworkSettings, StoreSettings};
pub use load::{Config, PROJECT_FILE};
pub use mirrors::{PackageMirrors, Snapshot};
pub use project::{ComposeDefaults, IfExists};
pub use registries::{ClientIdentity, Mirror, RegistrySettings};
pub use trust::{TrustDefault, TrustIdentity, TrustRule, TrustSettings};
