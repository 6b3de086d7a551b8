//! `ohoci deps audit`: what a deps image holds, needs and weighs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::images::{Wanted, read};
use crate::arguments::{Format, RegistryArguments};
use crate::context::Context;
use crate::exit_code;
use crate::failure::Failure;
use crate::output;
use crate::printable;
use ohoci_deps::audit::{
    Audit, Layer, Licence, Options, Severity, Size, audit, by_folder, by_package, treemap,
};
use ohoci_deps::built::BuiltImage;
use ohoci_deps::packages::Packages;
use ohoci_deps::place::Prefix;
use ohoci_image::Platform;
use ohoci_report::size::bytes;

/// Parts of at least one part in that many of the whole are shown.
const SHOWN_PART: u64 = 200;
/// How deep the tree of sizes goes, by package and by folder.
const DEPTHS: (usize, usize) = (4, 6);

/// Look over a deps image or a directory: does everything in it work on any base?
///
/// Checks that every program's loader and libraries and every script's interpreter are below the
/// prefix, and more; says what the layers need of the kernel, and which glibc they bring. Exit code
/// 4 says that something is wrong.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// A deps image (any kind of reference), or a directory that is unpacked at the root
    #[arg(value_name = "REF|DIR")]
    pub subject: String,

    /// Only this platform of an index; a directory's platform
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// Where the layers stand
    #[arg(long, value_name = "DIR", default_value = "/openhands")]
    pub prefix: Prefix,

    /// Show what takes the room, by package and by folder
    #[arg(long)]
    pub sizes: bool,

    /// List the licences of every package
    #[arg(long)]
    pub licences: bool,

    /// Write a page that shows what takes the room
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Serialize)]
struct Report {
    platform: String,
    #[serde(flatten)]
    audit: Audit,
    licences: BTreeMap<String, Licence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sizes: Option<Sizes>,
}

/// What takes the room.
#[derive(Serialize)]
struct Sizes {
    by_package: Size,
    by_folder: Size,
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
    let images = read(&arguments.subject, wanted, &context).await?;
    context.show_server_warnings();
    let mut reports = Vec::new();
    let mut views = Vec::new();
    for image in &images {
        let layers = layers(image);
        let options = Options {
            machine: image.machine,
            prefix: arguments.prefix.clone(),
        };
        let audit = audit(&layers, &options).map_err(|error| {
            Failure::new(
                format!("cannot look over {}", arguments.subject),
                error.to_string(),
            )
        })?;
        let packages = Packages::of(image, &arguments.prefix);
        let sizes = Sizes {
            by_package: by_package(&layers, &arguments.prefix, |path| packages.owner(path)),
            by_folder: by_folder(&layers),
        };
        if arguments.report.is_some() {
            let view = |how: &str, size: &Size| (format!("{} {how}", image.platform), size.clone());
            views.push(view("by package", &sizes.by_package));
            views.push(view("by folder", &sizes.by_folder));
        }
        reports.push(Report {
            platform: image.platform.to_string(),
            audit,
            licences: packages.licences().clone(),
            sizes: arguments.sizes.then_some(sizes),
        });
    }
    if let Some(path) = &arguments.report {
        write_page(path, &arguments.subject, &views)?;
    }
    match arguments.format {
        Format::Json => output::json(&reports)?,
        Format::Text => output::result(text(&reports, arguments.licences).trim_end())?,
    }
    let passed = reports.iter().all(|report| report.audit.passed());
    Ok(if passed {
        exit_code::DONE
    } else {
        exit_code::WANTING
    })
}

fn layers(image: &BuiltImage) -> Vec<Layer<'_>> {
    image
        .layers
        .iter()
        .map(|layer| Layer {
            name: &layer.name,
            tree: &layer.tree,
        })
        .collect()
}

fn write_page(path: &Path, title: &str, views: &[(String, Size)]) -> Result<(), Failure> {
    let views: Vec<(&str, Size)> = views
        .iter()
        .map(|(name, size)| (name.as_str(), size.clone()))
        .collect();
    fs_err::write(path, treemap(title, &views))
        .map_err(|error| Failure::new("cannot write the report", error.to_string()))
}

fn text(reports: &[Report], with_licences: bool) -> String {
    let mut text = String::new();
    for report in reports {
        let _ = writeln!(text, "{}", report.platform);
        for layer in &report.audit.layers {
            let _ = write!(
                text,
                "  {}: {} entries, {}, {} programs and libraries",
                printable::line(&layer.name),
                layer.entries,
                bytes(layer.bytes),
                layer.elf_files
            );
            if let Some(glibc) = &layer.glibc {
                let _ = write!(text, ", glibc {glibc} (of these layers)");
            }
            if let Some(kernel) = &layer.kernel {
                let _ = write!(text, ", Linux {kernel} or newer");
            }
            text.push('\n');
        }
        for finding in &report.audit.findings {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Note => "note",
            };
            let _ = writeln!(
                text,
                "  {severity}: {} {}: {}",
                printable::line(&finding.file),
                printable::line(&finding.what),
                finding.why
            );
        }
        let repeated = report.audit.repeated;
        if repeated.files > 0 {
            let _ = writeln!(
                text,
                "  {} files have the content of another one: {}",
                repeated.files,
                bytes(repeated.bytes)
            );
        }
        licences(&mut text, &report.licences, with_licences);
        if report.audit.passed() {
            let layers = report.audit.layers.iter();
            let kernel = layers.filter_map(|layer| layer.kernel.as_deref());
            let kernel = kernel.max_by_key(|version| numbers(version));
            let _ = match kernel {
                Some(kernel) => writeln!(text, "  works on any base with Linux {kernel} or newer"),
                None => writeln!(text, "  works on any base"),
            };
        } else {
            let errors = report.audit.count(Severity::Error);
            let _ = writeln!(text, "  {errors} errors: it would not work on every base");
        }
        if let Some(sizes) = &report.sizes {
            for (how, size, levels, depth) in [
                ("package", &sizes.by_package, 3, DEPTHS.0),
                ("folder", &sizes.by_folder, 2, DEPTHS.1),
            ] {
                let _ = writeln!(text, "  by {how}:");
                let pruned = size.folded(levels).pruned(size.bytes / SHOWN_PART, depth);
                tree(&mut text, &pruned, "  ");
            }
        }
    }
    text
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split('.')
        .filter_map(|part| part.parse().ok())
        .collect()
}

fn licences(text: &mut String, licences: &BTreeMap<String, Licence>, list: bool) {
    if licences.is_empty() {
        return;
    }
    let count = |of: fn(&Licence) -> bool| licences.values().filter(|one| of(one)).count();
    let _ = writeln!(
        text,
        "  licences: named by {}, to be read for {}, not said by {} packages",
        count(|one| matches!(one, Licence::Named(_))),
        count(|one| matches!(one, Licence::Prose)),
        count(|one| matches!(one, Licence::Unstated)),
    );
    if !list {
        return;
    }
    let width = licences.keys().map(String::len).max().unwrap_or_default();
    for (package, licence) in licences {
        let said = match licence {
            Licence::Named(names) => names.iter().cloned().collect::<Vec<_>>().join(", "),
            Licence::Prose => "(to be read)".to_owned(),
            Licence::Unstated => "(not said)".to_owned(),
        };
        let _ = writeln!(
            text,
            "    {:width$}  {}",
            printable::line(package),
            printable::line(&said)
        );
    }
}

fn tree(text: &mut String, size: &Size, indent: &str) {
    let _ = writeln!(
        text,
        "{indent}{:>9}  {}",
        bytes(size.bytes),
        printable::line(&size.name)
    );
    for part in &size.parts {
        tree(text, part, &format!("{indent}  "));
    }
}
