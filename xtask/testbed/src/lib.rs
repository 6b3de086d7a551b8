//! Servers that tests and measurements start for themselves, on free loopback ports.
//!
//! * `debian` (a feature): archives of Debian packages, with their signatures.
//! * [`docker_registry`]: the registry of Debian's `docker-registry` package.
//! * [`relay`]: a delaying, counting relay in front of a plain-HTTP server.
//! * [`file_server`]: files over HTTP, with the faults of real mirrors.
//! * [`generated_bases`]: a registry with a base for every number.
//! * [`http`]: reads requests and answers out of the bytes that pass a relay.

#[cfg(feature = "debian")]
pub mod debian;
pub mod docker_registry;
pub mod file_server;
pub mod generated_bases;
pub mod http;
pub mod relay;

pub use docker_registry::{DockerRegistry, Settings};
pub use generated_bases::{Asked, GeneratedBases};
pub use http::Exchange;
pub use relay::{Relay, RoundTrips, Traffic};
