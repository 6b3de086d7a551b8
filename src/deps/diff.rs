//! `ohoci deps diff`: what changed from one deps image to another.

use std::fmt::Write as _;

use clap::Args;

use super::images::{Wanted, read};
use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::output;
use crate::printable;
use ohoci_deps::comparison::{Comparison, Difference, compare};
use ohoci_deps::place::Prefix;
use ohoci_image::Platform;
use ohoci_report::size::bytes;

/// How many files are shown for each platform; `--format json` has them all.
const SHOWN: usize = 40;

/// Say which packages and files came, went or changed from one deps image to another
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The old one: a reference, or a directory
    #[arg(value_name = "OLD")]
    pub old: String,

    /// The new one
    #[arg(value_name = "NEW")]
    pub new: String,

    /// Only this platform
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// Where the layers stand
    #[arg(long, value_name = "DIR", default_value = "/openhands")]
    pub prefix: Prefix,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let context = Context::open(registry)?;
    let wanted = Wanted {
        platform: arguments.platform.as_ref(),
        prefix: &arguments.prefix,
    };
    let old = read(&arguments.old, wanted, &context).await?;
    let new = read(&arguments.new, wanted, &context).await?;
    context.show_server_warnings();
    let mut comparisons = Vec::new();
    for image in &new {
        let Some(before) = old.iter().find(|old| old.platform == image.platform) else {
            output::warning(&format!("{} is not for {}", arguments.old, image.platform));
            continue;
        };
        comparisons.push(
            compare(before, image)
                .map_err(|error| Failure::new("cannot compare the images", error.to_string()))?,
        );
    }
    if comparisons.is_empty() {
        return Err(Failure::new(
            "there is nothing to compare",
            "the two have no platform in common",
        ));
    }
    match arguments.format {
        Format::Json => output::json(&comparisons)?,
        Format::Text => output::result(text(&comparisons).trim_end())?,
    }
    Ok(exit_code::DONE)
}

fn text(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        let _ = writeln!(
            text,
            "{}: {} → {}",
            comparison.platform,
            bytes(comparison.old_bytes),
            bytes(comparison.new_bytes)
        );
        let _ = writeln!(text, "  packages: {}", counts(&comparison.packages));
        for package in &comparison.packages {
            line(&mut text, package, true);
        }
        let _ = writeln!(text, "  files: {}", counts(&comparison.files));
        for file in comparison.files.iter().take(SHOWN) {
            line(&mut text, file, false);
        }
        if let Some(more) = comparison.files.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            let _ = writeln!(text, "    and {more} more; --format json has them all");
        }
    }
    text
}

fn counts(list: &[Difference]) -> String {
    let count = |kind: fn(&Difference) -> bool| list.iter().filter(|one| kind(one)).count();
    format!(
        "{} added, {} removed, {} changed",
        count(|one| one.old.is_none()),
        count(|one| one.new.is_none()),
        count(|one| one.old.is_some() && one.new.is_some())
    )
}

fn line(text: &mut String, one: &Difference, versions: bool) {
    let name = printable::line(&one.name);
    let (sign, what) = match (&one.old, &one.new) {
        (None, Some(new)) => ('+', new.clone()),
        (Some(old), None) => ('-', old.clone()),
        (Some(old), Some(new)) => ('~', format!("{old} → {new}")),
        (None, None) => return,
    };
    let _ = write!(text, "    {sign} {name}");
    if versions {
        let _ = write!(text, " {}", printable::line(&what));
    }
    let _ = match (one.old_bytes, one.new_bytes) {
        (old, new) if old == new => writeln!(text, "  {}", bytes(new)),
        (old, new) => writeln!(text, "  {} → {}", bytes(old), bytes(new)),
    };
}
