//! The `ohoci` command.

fn main() {}
