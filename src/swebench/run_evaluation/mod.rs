//! `ohoci swebench run-evaluation`: predictions are run and graded.

mod arguments;
mod build_arguments;
mod command;
mod engine;
mod engine_arguments;
mod record;
mod remembered;
mod request;
mod told;
pub(crate) mod words;

pub use arguments::Arguments;
pub(super) use command::run;
