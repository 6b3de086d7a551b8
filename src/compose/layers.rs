//! Has the layers that `--layer` names packed, and says what is to be said of them.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use super::arguments::LayerArguments;
use crate::failure::Failure;
use crate::output;
use ohoci_compose::given_layers::{GivenLayers, GivenLayersError};
use ohoci_compose::local::LocalLayer;
use ohoci_layer::PackOptions;

/// Packs the layers that these texts name, as `[PLATFORM=]PATH[:DEST]` each.
pub(super) async fn packed(
    texts: &[String],
    arguments: &LayerArguments,
    options: PackOptions,
    work_dir: &Path,
) -> Result<Vec<LocalLayer>, Failure> {
    let layers = GivenLayers {
        texts,
        exclude: &arguments.exclude,
        exclude_from: &arguments.exclude_from,
        options,
    };
    if arguments.chown.is_some() && texts.is_empty() {
        return Err(Failure::usage(
            "--chown is about what --layer adds, and there is none",
        ));
    }
    if layers.read_stdin() && io::stdin().is_terminal() {
        return Err(Failure::usage("--layer -: standard input is a terminal")
            .hinted("pipe a tar into it: tar -c -C DIR . | ohoci compose --layer - ..."));
    }
    let note = |text: &str, said: &str| output::warning(&format!("--layer {text}: {said}"));
    Ok(layers.pack(&mut io::stdin(), work_dir, &note).await?)
}

impl From<GivenLayersError> for Failure {
    fn from(error: GivenLayersError) -> Self {
        match error {
            GivenLayersError::Request(why) => Self::usage(why),
            GivenLayersError::Read { what, why } => Self::new(what, why),
            GivenLayersError::Pack(error) => error.into(),
        }
    }
}
