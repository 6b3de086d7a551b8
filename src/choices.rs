//! Values of flags for which the libraries have a type: their names and help texts.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::failure::Failure;
use ohoci_compose::job::IfExists;
use ohoci_image::label::Position;
use ohoci_image::media_type::Compression;
use ohoci_layer::compress;

/// How a layer that is packed is compressed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packing {
    /// With what.
    pub compression: Compression,
    /// Whether single files can be read from it in a registry.
    pub seekable: bool,
}

/// A value, what it is called on the command line, and its help text.
type Choice<T> = (&'static str, T, &'static str);

const GZIP: &str = "gzip: what every client takes";
const ZSTD: &str = "Zstandard: smaller and faster; makes the image an OCI image";

const COMPRESSION: &[Choice<Compression>] = &[
    ("gzip", Compression::Gzip, GZIP),
    ("zstd", Compression::Zstd, ZSTD),
];

const PACKING: &[Choice<Packing>] = &[
    ("gzip", whole(Compression::Gzip), GZIP),
    ("zstd", whole(Compression::Zstd), ZSTD),
    (
        "estargz",
        Packing {
            compression: Compression::Gzip,
            seekable: true,
        },
        "eStargz: gzip of which containerd's stargz snapshotter fetches files as they are read; \
         larger, and with a file more, `/stargz.index.json`; makes the image an OCI image",
    ),
];

const fn whole(compression: Compression) -> Packing {
    Packing {
        compression,
        seekable: false,
    }
}

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

/// How layers that are packed are compressed.
pub(crate) fn packing() -> impl TypedValueParser<Value = Packing> {
    parser(PACKING)
}

/// How layers are compressed whose tars stay as they are.
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
