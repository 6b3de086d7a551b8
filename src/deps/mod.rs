//! Turns packages into the layers of a prefix such as `/openhands` that works on any base.
//!
//! The rooms, from the bottom up (each imports only what stands above it in this list):
//!
//! * [`place`]: where a package's files go below the prefix.
//!
//! No program of a package ever runs, and nothing is ever unpacked onto disk.

pub mod place;
