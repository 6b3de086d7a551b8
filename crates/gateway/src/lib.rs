//! Images that are composed when they are pulled: what a registry answers for images that were never
//! pushed.
//!
//! * [`Rule`]: which names mean which compositions, as a file says it.
//! * [`Gateway`]: answers for them, by the trait of `ohoci_server`.
//!
//! Nothing here is a store: a document that is kept is one that can be made again.

mod blobs;
mod compact;
mod composing;
mod documents;
mod flights;
mod gateway;
mod listed;
mod name;
mod numbers;
mod passing;
mod policy;
mod refusal;
mod rules;
mod segments;

pub use gateway::{Gateway, GatewayError};
pub use rules::{Rule, RuleError};
