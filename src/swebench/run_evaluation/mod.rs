//! `ohoci swebench run-evaluation`: predictions are run and graded.

mod arguments;
mod assets;
mod build_arguments;
mod command;
mod engine;
mod engine_arguments;
mod evaluator;
mod missing;
mod record;
mod remembered;
mod told;
pub(crate) mod words;

pub use arguments::Arguments;
pub(super) use command::run;
