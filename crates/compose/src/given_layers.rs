//! Packs the layers that a person names as `[PLATFORM=]PATH[:DEST]`.

use std::fmt::Display;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::local::{self, Given, LocalLayer};
use ohoci_config::text;
use ohoci_files::regular;
use ohoci_image::Platform;
use ohoci_layer::PackOptions;
use ohoci_layer::directory::Wanted;
use ohoci_layer::exclude::Excludes;
use ohoci_layer::source::{LayerSource, LayerSourceError};
use ohoci_store::Error;

/// What stands for standard input.
const STDIN: &str = "-";

/// Layers that are asked for.
#[derive(Clone, Debug)]
pub struct GivenLayers<'a> {
    /// `[PLATFORM=]PATH[:DEST]` each; `-` is standard input.
    pub texts: &'a [String],
    /// Patterns of what is left out of directories, in the syntax of `.dockerignore`.
    pub exclude: &'a [String],
    /// Files with such patterns, which come before those.
    pub exclude_from: &'a [PathBuf],
    /// How they are packed.
    pub options: PackOptions,
}

/// Why layers cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum GivenLayersError {
    /// What is asked for cannot be.
    #[error("{0}")]
    Request(String),
    /// A file with patterns, or standard input.
    #[error("{what}: {why}")]
    Read {
        /// What failed.
        what: String,
        /// Why.
        why: String,
    },
    /// A layer.
    #[error(transparent)]
    Pack(#[from] Error),
}

impl GivenLayersError {
    fn read(what: impl Into<String>, why: &dyn Display) -> Self {
        Self::Read {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

impl GivenLayers<'_> {
    /// Whether standard input is one of them.
    #[must_use]
    pub fn read_stdin(&self) -> bool {
        let is_stdin = |text: &String| parsed(text).is_ok_and(|(_, found)| is_stdin(&found));
        self.texts.iter().any(is_stdin)
    }

    /// Packs them. `note` is told what is to be said of one, by its text.
    ///
    /// # Errors
    /// See [`GivenLayersError`].
    pub async fn pack(
        &self,
        stdin: &mut (dyn Read + Send),
        work_dir: &Path,
        note: &(dyn Fn(&str, &str) + Sync),
    ) -> Result<Vec<LocalLayer>, GivenLayersError> {
        let refuse = |why: String| Err(GivenLayersError::Request(why));
        // As `-:/opt` is a value, so would be a flag for which the value was forgotten.
        if let Some(flag) = self.texts.iter().find(|text| text.starts_with("--")) {
            return refuse(format!("--layer {flag}: expected [PLATFORM=]PATH[:DEST]"));
        }
        let excludes = Arc::new(self.excludes()?);
        let sources = self.texts.iter().map(|text| {
            parsed(text)
                .map_err(|error| GivenLayersError::Request(format!("--layer {text}: {error}")))
        });
        let sources = sources.collect::<Result<Vec<_>, _>>()?;
        if sources
            .iter()
            .filter(|(_, source)| is_stdin(source))
            .count()
            > 1
        {
            return refuse("--layer -: standard input can be read once only".to_owned());
        }
        if !excludes.is_empty() && !sources.iter().any(|(_, source)| source.path.is_dir()) {
            return refuse(
                "--exclude is about the directories of --layer, and there is none".to_owned(),
            );
        }
        let mut layers = Vec::new();
        for (text, (platform, mut source)) in self.texts.iter().zip(sources) {
            let mut given = Given::new(source.clone());
            if is_stdin(&source) {
                source.path = spooled(stdin, work_dir, self.options.limits.bytes)?;
                given = Given {
                    name: "stdin".to_owned(),
                    ..Given::new(source)
                };
            }
            if !excludes.is_empty() {
                given.wanted = Some(wanted(Arc::clone(&excludes)));
            }
            let packed = local::pack_given(given, self.options, work_dir.to_owned());
            let (layer, notes) = packed.await?;
            notes.iter().for_each(|said| note(text, said));
            layers.push(LocalLayer { platform, ..layer });
        }
        Ok(layers)
    }

    fn excludes(&self) -> Result<Excludes, GivenLayersError> {
        let mut excludes = Excludes::none();
        for path in self.exclude_from {
            let what = || format!("cannot read {}", path.display());
            let text = regular::read(path)
                .and_then(text::decode)
                .map_err(|error| GivenLayersError::read(what(), &error))?;
            excludes
                .add_lines(&text)
                .map_err(|error| GivenLayersError::read(what(), &error))?;
        }
        for pattern in self.exclude {
            excludes
                .add(pattern)
                .map_err(|error| GivenLayersError::Request(format!("--exclude: {error}")))?;
        }
        Ok(excludes)
    }
}

fn parsed(text: &str) -> Result<(Option<Platform>, LayerSource), LayerSourceError> {
    match Platform::in_front_of(text) {
        Some((platform, rest)) => Ok((Some(platform), LayerSource::parse(rest)?)),
        None => Ok((None, LayerSource::parse(text)?)),
    }
}

fn is_stdin(source: &LayerSource) -> bool {
    source.path == Path::new(STDIN)
}

/// What patterns leave of a directory. One that is left out is still looked into where something
/// below it may be put back in.
fn wanted(excludes: Arc<Excludes>) -> Box<local::Selection> {
    Box::new(
        move |path, is_directory| match (excludes.excludes(path), is_directory) {
            (false, _) => Wanted::Yes,
            (true, true) if excludes.has_exceptions() => Wanted::ForContent,
            (true, _) => Wanted::No,
        },
    )
}

/// Writes standard input to a file: what it is shows in its first bytes, and a layer may be sent
/// more than once.
fn spooled(
    stdin: &mut (dyn Read + Send),
    work_dir: &Path,
    limit: u64,
) -> Result<PathBuf, GivenLayersError> {
    let fail = |error: io::Error| GivenLayersError::read("cannot read standard input", &error);
    let what = "cannot make a layer of standard input";
    let path = work_dir.join("stdin");
    let mut file = fs_err::File::create(&path).map_err(fail)?;
    let read = io::copy(&mut stdin.take(limit.saturating_add(1)), &mut file);
    match read.map_err(fail)? {
        0 => Err(GivenLayersError::read(what, &"nothing came in")),
        count if count > limit => {
            let why = format!("it has more than the {limit} bytes that are allowed");
            Err(GivenLayersError::read(what, &why))
        }
        _ => Ok(path),
    }
}
