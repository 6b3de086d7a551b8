//! What people read: the plan of a dry run, the statistics at the end.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;

use crate::printable;
use ohoci_compose::fit::Fitted;
use ohoci_compose::report::{ComposeReport, Cost, TargetReport};
use ohoci_image::annotation;
use ohoci_image::diff::Change;
use ohoci_report::size;

/// The plan and the config's changes.
pub(super) fn plan(report: &ComposeReport) -> String {
    let mut text = String::new();
    if let Some(base) = &report.base {
        let name = printable::line(&base.name);
        let _ = writeln!(text, "base      {name} ({})", base.digest);
    } else {
        let _ = writeln!(text, "base      scratch");
    }
    for deps in &report.deps {
        let name = printable::line(&deps.name);
        let _ = writeln!(text, "deps      {name} ({})", deps.digest);
    }
    let platforms = printable::line(&report.platforms.join(", "));
    let _ = writeln!(text, "platforms {platforms}");
    let _ = write!(text, "result    {}", report.digest);
    if let (Some(media_type), Some(size)) = (&report.media_type, report.size) {
        let _ = write!(text, " ({media_type}, {})", size::bytes(size));
    }
    text.push('\n');
    if report.targets.is_empty() {
        let _ = writeln!(text, "\nlayers, lowest first");
        for layer in &report.layers {
            let _ = writeln!(
                text,
                "  {:<5}  {:>9}  {}",
                layer.origin,
                size::bytes(layer.size),
                layer.digest
            );
        }
    }
    for target in &report.targets {
        push_target(&mut text, target);
    }
    let _ = write!(text, "\nconfig changes");
    // The record of how the image is made repeats what stands above.
    let record = format!("config.Labels[{:?}]", annotation::INTENT);
    let mut changes = report
        .changes
        .iter()
        .filter(|change| change.path != record)
        .peekable();
    if changes.peek().is_none() {
        let _ = write!(text, ": none");
    }
    for change in changes {
        let _ = write!(text, "\n{}", difference(change));
    }
    text
}

fn push_target(text: &mut String, target: &TargetReport) {
    let _ = writeln!(text, "\npush to {}", target.references.join(", "));
    for layer in &target.layers {
        let _ = writeln!(
            text,
            "  {:<5}  {:>9}  {}  {}",
            layer.origin,
            size::bytes(layer.size),
            layer.digest,
            layer.plan
        );
    }
}

/// What a base was given: `linux/amd64: a layer adds what the base lacks: sh, env`.
pub(super) fn fitted(fitted: &Fitted) -> String {
    let names: Vec<&str> = fitted.added.iter().map(|detail| detail.name()).collect();
    if names.is_empty() {
        format!("{}: the base lacks nothing", fitted.platform)
    } else {
        format!(
            "{}: a layer adds what the base lacks: {}",
            fitted.platform,
            names.join(", ")
        )
    }
}

/// A change: where, and what was there before and after.
pub(crate) fn difference(change: &Change) -> String {
    let mut text = format!("  {}", printable::line(&change.path));
    match (&change.before, &change.after) {
        // Of a list that grew only the new entries say something.
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for old in before.iter().filter(|old| !after.contains(old)) {
                let _ = write!(text, "\n    - {old}");
            }
            for new in after.iter().filter(|new| !before.contains(new)) {
                let _ = write!(text, "\n    + {new}");
            }
        }
        (before, after) => {
            if let Some(before) = before {
                let _ = write!(text, "\n    - {before}");
            }
            if let Some(after) = after {
                let _ = write!(text, "\n    + {after}");
            }
        }
    }
    text
}

/// Requests, bytes and time, on a few lines.
pub(super) fn statistics(report: &ComposeReport) -> String {
    cost(&report.cost)
}

/// Requests, bytes and time, on a few lines.
pub(crate) fn cost(cost: &Cost) -> String {
    let methods: Vec<String> = cost
        .requests
        .iter()
        .map(|(method, count)| format!("{count} {method}"))
        .collect();
    let mut text = format!("requests  {}", cost.total_requests());
    if !methods.is_empty() {
        let _ = write!(text, " ({})", methods.join(", "));
    }
    if cost.retries > 0 {
        let _ = write!(text, ", {} of them sent again", cost.retries);
    }
    let _ = write!(
        text,
        "\nbytes     {} up, {} down\ntime      {}",
        size::bytes(cost.bytes_up),
        size::bytes(cost.bytes_down),
        size::duration(Duration::from_millis(cost.elapsed_ms))
    );
    text
}
