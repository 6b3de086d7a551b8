//! Exit codes. They are part of the interface: scripts rely on them.

/// Everything asked for was done.
pub const DONE: u8 = 0;
/// Something failed; stderr says what, why and, where possible, what may help.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// Some of a batch was done and some failed.
pub const PARTLY: u8 = 3;
/// Something was verified and found wanting.
pub const WANTING: u8 = 4;
/// Interrupted by Ctrl-C: 128 + SIGINT, as shells report it.
pub const INTERRUPTED: u8 = 130;
