//! `ohoci check`: what will and what will not work on a base, before anything is pushed.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::compose::ContractArgument;
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output, printable};
use ohoci_compose::check::{BaseCheck, Looked, State, check, check_scratch};
use ohoci_compose::read::{self, Choice};
use ohoci_image::{Platform, Reference};
use ohoci_openhands::contract::Contract;
use ohoci_openhands::contract::check::points_of_composed;

/// Say what will not work on a base or in an image, and why.
///
/// Looks at what would run, as a container runtime sees it: the program that starts, found by PATH,
/// through links, by its interpreters and loaders; the user and the group; the working directory;
/// the locale. Reads the layers, each once, and moves nothing. Exit code 4 says that the image will
/// not do; what it only lacks is said with what mends it.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The base, or a composed image: a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG],
    /// docker-archive:FILE[:NAME] or scratch
    #[arg(value_name = "REF")]
    pub reference: String,

    /// A deps image that is to be put on it
    #[arg(long, value_name = "REF")]
    pub deps: Vec<String>,

    /// Whether the image has what OpenHands' launchers need, or with --deps whether the deps image
    /// brings it. Without a value that of the server which the deps image has
    #[arg(
        long,
        value_enum,
        value_name = "VERSION",
        num_args = 0..=1,
        default_missing_value = "auto"
    )]
    pub contract: Option<ContractArgument>,

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
        deps.push((text.clone(), context.resolver.deps(&reference).await?));
    }
    let choice = match &arguments.platform {
        Some(platform) => Choice::Platforms(vec![platform.clone()]),
        None => Choice::All,
    };
    let reader = context.resolver.reader();
    let looked = if reference == Reference::Scratch {
        let platform = arguments.platform.clone();
        let platform = platform.unwrap_or_else(read::this_machine);
        vec![check_scratch(&platform, &deps, reader).await?]
    } else {
        let source = context.resolver.source(&reference).await?;
        let found = read::images(source, &choice, &|_, _| {}).await?;
        for note in &found.notes {
            output::warning(note);
        }
        check(&found, &deps, reader).await?
    };
    context.show_server_warnings();
    let images = looked
        .into_iter()
        .map(|looked| with_contract(looked, arguments.contract))
        .collect::<Result<Vec<_>, _>>()?;
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

/// Adds what a contract says of an image; of a composed image that of its server always counts.
fn with_contract(
    mut looked: Looked,
    argument: Option<ContractArgument>,
) -> Result<BaseCheck, Failure> {
    let of_deps = || {
        let mut deps = looked.deps.iter();
        deps.find_map(|deps| Contract::of_deps(&deps.document))
    };
    let contract = match argument {
        Some(ContractArgument::V0) => Some(Contract::V0),
        Some(ContractArgument::V1) => Some(Contract::V1),
        // What a deps image says of itself, it has to keep.
        None => of_deps(),
        Some(ContractArgument::Auto) if looked.is_composed => None,
        Some(ContractArgument::Auto) => Some(of_deps().ok_or_else(|| {
            Failure::usage("nothing says which contract the image is to keep")
                .hinted("--contract v0 or --contract v1")
        })?),
    };
    let mut points = Vec::new();
    if looked.is_composed {
        points.extend(points_of_composed(&looked));
    }
    if let Some(contract) = contract {
        for point in contract.points(&looked) {
            if !points.contains(&point) {
                points.push(point);
            }
        }
    }
    looked.check.points.extend(points);
    Ok(looked.check)
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
            let _ = write!(
                text,
                "  {state:<5}  {:<13}  {}",
                point.name,
                printable::line(&point.what)
            );
            let _ = match &point.mend {
                Some(mend) => writeln!(text, " [{mend}]"),
                None => writeln!(text),
            };
        }
        let lacking = image.points.iter().any(|p| p.state == State::Lacking);
        let _ = writeln!(
            text,
            "  {}",
            match (image.works(), lacking) {
                (false, _) => "will not work",
                (true, true) => "works, but for what is lacking",
                (true, false) => "works",
            }
        );
    }
    text
}
