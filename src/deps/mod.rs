//! Turns packages into the layers of a prefix such as `/openhands` that works on any base.
//!
//! The rooms, from the bottom up (each imports only what stands above it in this list):
//!
//! * [`archive`]: tars, zips and directories as trees, and the spool that holds their contents.
//! * [`python`]: wheels and source distributions as trees, resolution, indexes.
//! * [`npm`]: lockfiles and tarballs as trees, resolution, registries.
//! * [`place`]: where a package's files go below the prefix.
//! * [`relocate`]: edits that make programs and scripts work there.
//! * [`audit`]: gates and reports over the finished trees.
//!
//! No program of a package ever runs, and nothing is ever unpacked onto disk.

pub mod archive;
pub mod audit;
pub mod npm;
pub mod place;
pub mod python;
pub mod relocate;
