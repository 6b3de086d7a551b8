//! The registry against the distribution specification 1.1, over plain HTTP.
//!
//! The cases follow the specification's text and what its own conformance suite asks for.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed, helpers included"
)]

mod crash;
mod discovery;
mod hostile;
mod layouts;
mod management;
mod pull;
mod push;
mod support;
