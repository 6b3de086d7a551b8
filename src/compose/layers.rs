//! Packs what `--layer` names, and says what is to be said of it.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arguments::LayerArguments;
use crate::failure::Failure;
use crate::output;
use ohoci_compose::local::{self, Given, LocalLayer};
use ohoci_config::text;
use ohoci_files::regular;
use ohoci_layer::PackOptions;
use ohoci_layer::directory::Wanted;
use ohoci_layer::exclude::Excludes;
use ohoci_layer::source::LayerSource;

/// What stands for standard input.
const STDIN: &str = "-";

/// Packs the layers that these texts name, as `PATH[:DEST]` each.
pub(super) async fn packed(
    texts: &[String],
    arguments: &LayerArguments,
    options: PackOptions,
    work_dir: &Path,
) -> Result<Vec<LocalLayer>, Failure> {
    // As `-:/opt` is a value, so would be a flag for which the value was forgotten.
    if let Some(flag) = texts.iter().find(|text| text.starts_with("--")) {
        return Err(Failure::usage(format!(
            "--layer {flag}: expected PATH[:DEST]"
        )));
    }
    let excludes = Arc::new(excludes(arguments)?);
    let options = PackOptions {
        owner: arguments.chown,
        ..options
    };
    if arguments.chown.is_some() && texts.is_empty() {
        return Err(Failure::usage(
            "--chown is about what --layer adds, and there is none",
        ));
    }
    let sources = texts
        .iter()
        .map(|text| {
            LayerSource::parse(text)
                .map_err(|error| Failure::usage(format!("--layer {text}: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let is_stdin = |source: &&LayerSource| source.path == Path::new(STDIN);
    if sources.iter().filter(is_stdin).count() > 1 {
        return Err(Failure::usage(
            "--layer -: standard input can be read once only",
        ));
    }
    if !excludes.is_empty() && !sources.iter().any(|source| source.path.is_dir()) {
        return Err(Failure::usage(
            "--exclude is about the directories of --layer, and there is none",
        ));
    }
    let mut layers = Vec::new();
    for (text, mut source) in texts.iter().zip(sources) {
        let mut given = Given::new(source.clone());
        if is_stdin(&&source) {
            source.path = spooled(work_dir, options.limits.bytes)?;
            given = Given {
                name: "stdin".to_owned(),
                ..Given::new(source)
            };
        }
        if !excludes.is_empty() {
            given.wanted = Some(wanted(Arc::clone(&excludes)));
        }
        let (layer, notes) = local::pack_given(given, options, work_dir.to_owned()).await?;
        for note in &notes {
            output::warning(&format!("--layer {text}: {note}"));
        }
        layers.push(layer);
    }
    Ok(layers)
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

fn excludes(arguments: &LayerArguments) -> Result<Excludes, Failure> {
    let mut excludes = Excludes::none();
    for path in &arguments.exclude_from {
        let what = || format!("cannot read {}", path.display());
        let text = regular::read(path)
            .and_then(text::decode)
            .map_err(|error| Failure::new(what(), error.to_string()))?;
        excludes
            .add_lines(&text)
            .map_err(|error| Failure::new(what(), error.to_string()))?;
    }
    for pattern in &arguments.exclude {
        excludes
            .add(pattern)
            .map_err(|error| Failure::usage(format!("--exclude: {error}")))?;
    }
    Ok(excludes)
}

/// Writes standard input to a file: what it is shows in its first bytes, and a layer may be sent
/// more than once.
fn spooled(work_dir: &Path, limit: u64) -> Result<PathBuf, Failure> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Failure::usage("--layer -: standard input is a terminal")
            .hinted("pipe a tar into it: tar -c -C DIR . | ohoci compose --layer - ..."));
    }
    let fail = |error: io::Error| Failure::new("cannot read standard input", error.to_string());
    let path = work_dir.join("stdin");
    let mut file = fs_err::File::create(&path).map_err(fail)?;
    let read = io::copy(&mut stdin.by_ref().take(limit.saturating_add(1)), &mut file);
    match read.map_err(fail)? {
        0 => Err(Failure::new(
            "cannot make a layer of standard input",
            "nothing came in",
        )),
        count if count > limit => Err(Failure::new(
            "cannot make a layer of standard input",
            format!("it has more than the {limit} bytes that are allowed"),
        )),
        _ => Ok(path),
    }
}
