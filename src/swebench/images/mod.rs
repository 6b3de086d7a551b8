//! `ohoci swebench images`: instances' images under upstream's names.

mod arguments;
pub(super) mod base;
mod command;
mod console;
mod elsewhere;
pub(super) mod failures;
mod plan_text;
mod report_text;

pub use arguments::Arguments;
pub(super) use command::run;
pub(super) use console::Console;
