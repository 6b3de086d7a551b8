//! The registry against the distribution specification 1.1, over plain HTTP.
//!
//! The cases follow the specification's text and what its own conformance suite asks for.

mod crash;
mod discovery;
mod hostile;
mod layouts;
mod limits;
mod management;
mod pull;
mod push;
mod support;
mod traversal;
