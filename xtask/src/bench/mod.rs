//! `cargo xtask bench`: ohoci beside other tools, on the same registry in one run.
//!
//! * [`compose`]: the measurement itself.
//! * `inputs`: the images and the layer that every tool gets.
//! * `tools`: what each tool is told to do.
//! * `docker`: a Docker daemon of our own.
//! * `table`: medians and Markdown.

pub(crate) mod compose;
mod docker;
mod inputs;
mod table;
mod tools;
