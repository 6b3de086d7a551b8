//! What was built, in words.

use std::fmt::Write as _;

use crate::output;
use ohoci_report::size::bytes;
use ohoci_swebench_images::BuildError;
use ohoci_swebench_images::beyond::RepositoryTotal;
use ohoci_swebench_images::report::{ImageOutcome, Report};

/// Says why something could not be built.
pub(super) fn tell(id: &str, error: &BuildError) {
    let mut text = format!(
        "error: {id}: level {}: {}\n  {}",
        error.level, error.step, error.why
    );
    if let Some(log) = &error.log {
        let _ = write!(text, "\n  the end of {}:", log.display());
        for line in &error.tail {
            let _ = write!(text, "\n  | {line}");
        }
    }
    if let Some(hint) = &error.hint {
        let _ = write!(text, "\nhint: {hint}");
    }
    output::note(&text);
}

/// Says how an image went, as soon as it has ended.
pub(super) fn tell_outcome(outcome: &ImageOutcome) {
    let id = &outcome.instance_id;
    match &outcome.error {
        None => {
            let own = outcome.levels.iter().filter(|level| !level.from_cache);
            let made: Vec<&str> = own.map(|level| level.level.as_str()).collect();
            let how = match made.is_empty() {
                true => "from the cache".to_owned(),
                false => format!("{:.1} s, made: {}", outcome.seconds, made.join(", ")),
            };
            output::note(&format!("{id}: built ({how})"));
        }
        Some(error) => tell(id, error),
    }
}

/// The whole run in words.
pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    for total in &report.levels {
        let (level, count) = (&total.level, total.layers);
        let layers = if count == 1 { "layer" } else { "layers" };
        let _ = write!(text, "{level:<12} {count} {layers}, {}", bytes(total.size));
        if let Some(size) = total.uncompressed {
            let _ = write!(text, " (unpacked {})", bytes(size));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "stored {}, shared {}",
        bytes(report.stored),
        bytes(report.shared())
    );
    text.push_str(&beyond(&report.repositories));
    if let Some(disk) = &report.disk {
        let _ = writeln!(
            text,
            "disk: {} kept at most, of {}; let go of: {} unpacked layers, {}, and {} layers that are pushed, {}",
            bytes(disk.most_kept),
            bytes(disk.budget),
            disk.unpacked_layers,
            bytes(disk.unpacked_bytes),
            disk.layers,
            bytes(disk.layer_bytes)
        );
    }
    text
}

/// What instances need beyond their environments, a line for each repository.
pub(super) fn beyond(repositories: &[RepositoryTotal]) -> String {
    let mut text = String::new();
    for total in repositories {
        let about = if total.estimated { "about " } else { "" };
        let instances = match total.instances {
            1 => "1 instance".to_owned(),
            many => format!("{many} instances"),
        };
        if total.size == 0 && total.unknown_layers > 0 {
            let _ = writeln!(
                text,
                "{}: {instances}, nothing is known of what they need beyond their environments",
                total.repository
            );
            continue;
        }
        let _ = write!(
            text,
            "{}: {instances}, beyond their environments {about}{}, {} each, {} at most of one alone",
            total.repository,
            bytes(total.size),
            bytes(total.size_per_instance),
            bytes(total.most_unique_bytes)
        );
        if total.unknown_layers > 0 {
            let _ = write!(text, ", {} layers unknown", total.unknown_layers);
        }
        text.push('\n');
    }
    text
}
