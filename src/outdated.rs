//! `ohoci outdated`: which composed images have a base or deps that moved since.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output, printable};
use ohoci_compose::recompose::{self, ImageState, InputState, Movement, State};
use ohoci_compose::report::Cost;
use ohoci_image::{Digest, Reference, RegistryReference};

/// Find composed images whose base or deps have changed since.
///
/// Reads what each image was made from and asks what those references name now: one HEAD for each,
/// however many images share it. Exit code 4 says that some are outdated.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Images: registry references, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "REF", required_unless_present = "repo")]
    pub references: Vec<String>,

    /// Every tag of this repository; repeatable
    #[arg(long, value_name = "HOST/NAME")]
    pub repo: Vec<String>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What `--format json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    images: &'a [ImageState],
    current: usize,
    outdated: usize,
    foreign: usize,
    failed: usize,
    #[serde(flatten)]
    cost: Cost,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let started = Instant::now();
    let mut references: Vec<Reference> = Vec::new();
    for text in &arguments.references {
        references.push(text.parse()?);
    }
    let mut repositories = Vec::new();
    for text in &arguments.repo {
        let repository: RegistryReference = text.parse()?;
        if repository.tag().is_some() || repository.digest().is_some() {
            return Err(Failure::usage(format!(
                "--repo {text}: it names one image, not a repository"
            ))
            .hinted("leave out the tag, or give the image without --repo"));
        }
        repositories.push(repository);
    }
    let context = Context::open(registry)?;
    for repository in &repositories {
        references.extend(recompose::tagged(&context.resolver, repository).await?);
    }
    let images = recompose::outdated(&context.resolver, &references).await;
    context.show_server_warnings();
    let count = |state: State| images.iter().filter(|image| image.state == state).count();
    let report = Report {
        images: &images,
        current: count(State::Current),
        outdated: count(State::Outdated),
        foreign: count(State::Foreign),
        failed: count(State::Failed),
        cost: Cost::new(&context.resolver.client.statistics(), started.elapsed()),
    };
    match arguments.format {
        Format::Json => output::json(&report)?,
        Format::Text => output::result(&text(&report))?,
    }
    Ok(match (report.outdated, report.failed) {
        (0, 0) => exit_code::DONE,
        (0, _) => exit_code::FAILED,
        _ => exit_code::WANTING,
    })
}

fn text(report: &Report<'_>) -> String {
    let mut text = String::new();
    for image in report.images {
        let state = match image.state {
            State::Current => "current",
            State::Outdated => "outdated",
            State::Foreign => "foreign",
            State::Failed => "failed",
        };
        let _ = write!(text, "{state:<8}  {}", printable::line(&image.reference));
        if image.state == State::Foreign {
            text.push_str("  (no record of how it was composed)");
        }
        text.push('\n');
        if let Some(why) = &image.why {
            let _ = writeln!(text, "            {}", printable::line(why));
        }
        for input in image.inputs.iter().filter(|input| is_told(input)) {
            push_input(&mut text, input);
        }
    }
    let _ = write!(
        text,
        "{} outdated, {} current",
        report.outdated, report.current
    );
    for (count, word) in [(report.foreign, "foreign"), (report.failed, "failed")] {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    text
}

fn is_told(input: &InputState) -> bool {
    !matches!(input.state, Movement::Same | Movement::Fixed)
}

fn push_input(text: &mut String, input: &InputState) {
    let origin = input.origin;
    let name = input.name.as_deref().unwrap_or_default();
    let _ = write!(text, "            {origin}  {}  ", printable::line(name));
    let short =
        |digest: &Option<Digest>| digest.as_ref().map_or("unknown", Digest::short).to_owned();
    let _ = match (&input.state, &input.why) {
        (Movement::Gone, _) => write!(text, "{} → gone", short(&input.recorded)),
        (_, Some(why)) => write!(text, "{}", printable::line(why)),
        _ => write!(text, "{} → {}", short(&input.recorded), short(&input.now)),
    };
    text.push('\n');
}
