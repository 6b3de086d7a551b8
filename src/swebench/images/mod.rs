//! `ohoci swebench images`: instances' images under upstream's names.

mod arguments;
mod base;
mod build;
mod command;
mod plan_text;
mod report_text;
mod request;

pub use arguments::Arguments;
pub(super) use build::Instances;
pub(super) use command::run;
pub(super) use report_text::tell_outcome;
pub(super) use request::Request;
