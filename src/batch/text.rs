//! The summary of a batch, as people read it.

use std::fmt::Write as _;

use crate::{compose, size};
use ohoci_compose::batch::Summary;

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
    text
}
