//! Files of mirrors, into the cache: side by side, resumed where they broke off, verified.

mod ask;
pub mod error;
pub mod fetcher;
pub mod many;
mod request;

pub use error::{FetchError, FetchErrorKind, Refusal};
pub use fetcher::Fetcher;
pub use many::{Fetched, Wanted};
