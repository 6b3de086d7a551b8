//! Files and environment variables that say how ohoci behaves.

pub mod certificates;
pub mod environment;
pub mod error;
pub mod limits;
pub mod load;
pub mod mirrors;
pub mod project;
pub mod registries;
pub mod secrets;
pub mod text;
pub mod trust;

pub use certificates::{HostCertificates, certificate_roots, certificates_for};
pub use environment::{Environment, Variable};
pub use error::ConfigError;
pub use limits::{LimitSettings, NetworkSettings, StoreSettings};
pub use load::{Config, PROJECT_FILE};
pub use mirrors::{PackageMirrors, Snapshot};
pub use project::{ComposeDefaults, IfExists};
pub use registries::{ClientIdentity, Mirror, RegistrySettings};
pub use trust::{TrustDefault, TrustIdentity, TrustRule, TrustSettings};
