//! How connections to registries and mirrors are made: which certificates count, which proxy is gone
//! through, where a server may send us, how slowly a body may come, how often something is tried.
//!
//! ```
//! use std::time::Duration;
//! use ohoci_http::{ClientPool, TlsSettings, TransportSettings};
//!
//! let pool = ClientPool::new("ohoci/1".to_owned(), Duration::from_secs(15));
//! let url = "https://registry.example/v2/".parse()?;
//! let client = pool.get(&TransportSettings::own(&url, &TlsSettings::default()))?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! * `pool`: clients by what makes their connections different. `client`: what sends a request. `trust`,
//!   `proxy`: certificates and proxies.
//! * `address`: where a server may send us.
//! * `failure`: why a request got no answer. [`pace`], [`retry`]: when it is sent again.
//! * `shown`: URLs and errors as they may be shown.

mod address;
mod client;
mod error;
mod failure;
pub mod pace;
mod pool;
mod proxy;
pub mod retry;
mod shown;
mod trust;

pub use address::AddressScope;
pub use client::{HttpClient, SendError};
pub use error::TransportError;
pub use failure::{ProxyFailure, RequestFailure};
pub use pace::{Pace, TooSlow};
pub use pool::{ClientPool, TlsSettings, TransportSettings};
pub use retry::RetryPolicy;
pub use shown::{chain, redacted};
