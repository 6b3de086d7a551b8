//! Servers that tests and measurements start for themselves, on free loopback ports.
//!
//! * [`docker_registry`]: the registry of Debian's `docker-registry` package.
//! * [`relay`]: a delaying, counting relay in front of a plain-HTTP server.
//! * [`http`]: reads requests and answers out of the bytes that pass a relay.

pub mod docker_registry;
pub mod http;
pub mod relay;

pub use docker_registry::{DockerRegistry, Settings};
pub use http::Exchange;
pub use relay::{Relay, Traffic};
