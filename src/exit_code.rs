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
/// `run`: the program's time was over, as timeout(1) reports it.
pub const TIMED_OUT: u8 = 124;
/// `run`: ohoci failed, before the program ran or behind its back; so does Docker.
pub const SANDBOX_FAILED: u8 = 125;
/// `run`: the program cannot be executed, as shells report it.
pub const NOT_EXECUTABLE: u8 = 126;
/// `run`: there is no such program, as shells report it.
pub const NOT_FOUND: u8 = 127;
/// `run`: the program wrote or took more than it may: 128 + SIGKILL, as shells report what is killed.
pub const KILLED: u8 = 137;
/// Interrupted by Ctrl-C: 128 + SIGINT, as shells report it.
pub const INTERRUPTED: u8 = 130;
