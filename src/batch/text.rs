//! The summary of a batch, as people read it.

use std::fmt::Write as _;

use crate::{compose, printable};
use ohoci_compose::batch::{RecordStatus, Summary};
use ohoci_report::size;

/// What a dry run found: a line for each image, and what would move at most.
pub(super) fn plan(summary: &Summary) -> String {
    let mut text = String::new();
    for image in &summary.results {
        let state = match image.status {
            RecordStatus::Built => "make",
            RecordStatus::SkippedRemoteExists => "there",
            RecordStatus::Failed => continue,
        };
        let target = match image.references.as_slice() {
            [] => "no target",
            [first, ..] => first,
        };
        let _ = writeln!(
            text,
            "{state:<5}  {}  →  {}",
            printable::line(&image.base),
            printable::line(target)
        );
    }
    let _ = write!(
        text,
        "images    {} ({} to make, {} already there, {} failed, {} not started)\n{}",
        summary.total + summary.left,
        summary.built,
        summary.skipped,
        summary.failed,
        summary.left,
        compose::cost(&summary.cost)
    );
    push_unmade(&mut text, summary);
    text
}

/// The summary.
pub(super) fn summary(summary: &Summary) -> String {
    let mut text = format!(
        "images    {} ({} pushed, {} already there, {} failed, {} not started, {} tried again)\n\
         layers    {} if each image had its own, {} stored once\n\
         per image {:.2} s median, {:.2} s mean\n{}",
        summary.total + summary.left,
        summary.built,
        summary.skipped,
        summary.failed,
        summary.left,
        summary.retried,
        size::bytes(summary.layer_bytes),
        size::bytes(summary.unique_layer_bytes),
        summary.median_seconds,
        summary.mean_seconds,
        compose::cost(&summary.cost)
    );
    push_unmade(&mut text, summary);
    text
}

/// The images that failed or were not started, and why.
fn push_unmade(text: &mut String, summary: &Summary) {
    for (title, rows) in [
        ("failed", &summary.failures),
        ("not started", &summary.not_started),
    ] {
        if !rows.is_empty() {
            let _ = write!(text, "\n\n{title}");
        }
        for (base, why) in rows {
            let _ = write!(text, "\n  {base}\n    {why}");
        }
    }
}
