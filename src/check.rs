//! `ohoci check`: what will and what will not work on a base, before anything is pushed.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output, printable};
use ohoci_compose::check::{BaseCheck, State, check};
use ohoci_compose::deps::Deps;
use ohoci_compose::read::{self, Choice};
use ohoci_image::{Content, Platform, Reference};

/// Say what will and what will not work on a base, and why.
///
/// Reads the headers of the base's layers, each once, and moves nothing. Exit code 4 says that the
/// base will not do; what it only lacks, `compose --fit auto` adds.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The base, or a composed image: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]
    #[arg(value_name = "REF")]
    pub reference: String,

    /// A deps image that is to be put on it
    #[arg(long, value_name = "REF")]
    pub deps: Vec<String>,

    /// Only this platform of an index
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Serialize)]
struct Report<'a> {
    reference: &'a str,
    works: bool,
    images: &'a [BaseCheck],
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let context = Context::open(registry)?;
    let reference: Reference = arguments.reference.parse()?;
    let mut deps = Vec::new();
    for text in &arguments.deps {
        let reference: Reference = text.parse()?;
        let image = context.resolver.deps(&reference).await?;
        deps.push((text.clone(), platforms(&image).await?));
    }
    let choice = match &arguments.platform {
        Some(platform) => Choice::Platforms(vec![platform.clone()]),
        None => Choice::All,
    };
    let source = context.resolver.source(&reference).await?;
    let found = read::images(source, &choice, &|_, _| {}).await?;
    for note in &found.notes {
        output::warning(note);
    }
    let images = check(&found, &deps, &context.resolver.cache).await?;
    context.show_server_warnings();
    let works = images.iter().all(BaseCheck::works);
    match arguments.format {
        Format::Json => output::json(&Report {
            reference: &arguments.reference,
            works,
            images: &images,
        })?,
        Format::Text => output::result(text(&images).trim_end())?,
    }
    Ok(if works {
        exit_code::DONE
    } else {
        exit_code::WANTING
    })
}

/// What a deps image is for.
async fn platforms(deps: &Deps) -> Result<Vec<Platform>, Failure> {
    if let Content::Image { .. } = deps.root.content() {
        let image = deps.image_for(&read::this_machine()).await?;
        return Ok(vec![image.config.platform().clone()]);
    }
    Ok(deps
        .entries
        .iter()
        .filter_map(|child| child.descriptor.platform.clone())
        .collect())
}

fn text(images: &[BaseCheck]) -> String {
    let mut text = String::new();
    for image in images {
        let _ = writeln!(text, "{}", image.platform);
        for point in &image.points {
            let state = match point.state {
                State::Fine => "fine",
                State::Lacking => "lacks",
                State::Wrong => "WRONG",
            };
            let _ = writeln!(
                text,
                "  {state:<5}  {:<13}  {}",
                point.name,
                printable::line(&point.what)
            );
        }
        let lacking = image.points.iter().any(|p| p.state == State::Lacking);
        let _ = writeln!(
            text,
            "  {}",
            match (image.works(), lacking) {
                (false, _) => "will not work",
                (true, true) => "works; --fit auto adds what is lacking",
                (true, false) => "works",
            }
        );
    }
    text
}
