//! Values of flags for which the libraries have a type: their names and help texts.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::failure::Failure;
use ohoci_compose::job::IfExists;
use ohoci_image::label::Position;
use ohoci_image::media_type::Compression;
use ohoci_layer::compress;

/// A value, what it is called on the command line, and its help text.
type Choice<T> = (&'static str, T, &'static str);

const COMPRESSION: &[Choice<Compression>] = &[
    ("gzip", Compression::Gzip, "gzip: what every client takes"),
    (
        "zstd",
        Compression::Zstd,
        "Zstandard: smaller and faster; makes the image an OCI image",
    ),
];

const POSITION: &[Choice<Position>] = &[
    (
        "top",
        Position::Top,
        "Above the base's layers, as a Dockerfile's COPY does",
    ),
    (
        "bottom",
        Position::Bottom,
        "Below the base's layers: images share one chain, so a node unpacks the layers once. The \
         same files result while base and added layers touch different paths",
    ),
];

const IF_EXISTS: &[Choice<IfExists>] = &[
    ("replace", IfExists::Replace, "Move it to the new image"),
    ("skip", IfExists::Skip, "Leave it as it is and succeed"),
    ("fail", IfExists::Fail, "Leave it as it is and fail"),
];

/// How packed layers are compressed.
pub(crate) fn compression() -> impl TypedValueParser<Value = Compression> {
    parser(COMPRESSION)
}

/// The level of a compression, which has to be one of its levels.
pub(crate) fn level(compression: Compression, level: Option<u32>) -> Result<Option<u32>, Failure> {
    let Some(wanted) = level else {
        return Ok(None);
    };
    compress::expect_level(compression, wanted)
        .map_err(|error| Failure::usage(format!("--compression-level {wanted}: {error}")))?;
    Ok(level)
}

/// Where added layers go.
pub(crate) fn position() -> impl TypedValueParser<Value = Position> {
    parser(POSITION)
}

/// What to do when a target reference exists.
pub(crate) fn if_exists() -> impl TypedValueParser<Value = IfExists> {
    parser(IF_EXISTS)
}

fn parser<T: Copy + Send + Sync + 'static>(
    choices: &'static [Choice<T>],
) -> impl TypedValueParser<Value = T> {
    let values = choices
        .iter()
        .map(|(name, _, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(values).try_map(|given| {
        let mut choices = choices.iter();
        let found = choices.find(|(name, ..)| *name == given);
        found.map(|(_, value, _)| *value).ok_or("it is no choice")
    })
}
