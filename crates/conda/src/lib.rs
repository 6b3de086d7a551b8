//! conda's packages. Pure: documents and trees in, documents and trees out.
//!
//! * [`record`], [`listed`], [`repodata`], [`shards`]: what channels list.
//! * [`condarc`]: the settings of conda that say which channels there are.
//! * [`frozen`]: environments of which every build is known.
//! * [`match_spec`], [`virtual_package`], [`shelf`], [`solve()`](solve::solve): environments of which it is not: what is
//!   asked for, what the machine has, what channels have, and what is chosen of it.
//! * [`package`]: what a package says of itself.
//! * [`placeholder`], [`entry_point`], [`link()`](link::link), `prefix_record`: its files in a prefix.
//!
//! Formats and behaviour follow the ecosystem's specifications (conda's CEPs) and its installers, of which
//! py-rattler is what tests compare with.

mod build_pattern;
pub mod condarc;
pub mod entry_point;
pub mod frozen;
pub mod link;
pub mod listed;
pub mod match_spec;
pub mod package;
pub mod placeholder;
mod prefix_record;
pub mod record;
pub mod repodata;
pub mod shards;
pub mod shelf;
pub mod solve;
pub mod virtual_package;
