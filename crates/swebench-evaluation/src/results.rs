//! The results of a run for people and for CI: JSON, JUnit XML, Markdown and a page.

mod junit;
mod markdown;
mod page;

use std::collections::BTreeMap;

use serde::Serialize;

use super::outcome::{Outcome, Status};

/// The version of the JSON document.
const SCHEMA_VERSION: u32 = 1;

/// The results of one model's run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Results<'a> {
    schema_version: u32,
    run_id: &'a str,
    model: &'a str,
    dataset: &'a str,
    created_at: &'a str,
    counts: BTreeMap<&'static str, usize>,
    without_prediction: usize,
    instances: &'a [Outcome],
}

impl<'a> Results<'a> {
    /// Puts results together; `without_prediction` is how many of the dataset's instances have
    /// none.
    #[must_use]
    pub fn new(
        run_id: &'a str,
        model: &'a str,
        dataset: &'a str,
        created_at: &'a str,
        instances: &'a [Outcome],
        without_prediction: usize,
    ) -> Self {
        let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
        for outcome in instances {
            *counts.entry(outcome.status.name()).or_default() += 1;
        }
        Self {
            schema_version: SCHEMA_VERSION,
            run_id,
            model,
            dataset,
            created_at,
            counts,
            without_prediction,
            instances,
        }
    }

    /// One JSON document.
    ///
    /// # Errors
    /// None are known.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }

    /// JUnit XML, in which each instance is a test case.
    #[must_use]
    pub(crate) fn to_junit(&self) -> String {
        junit::document(self)
    }

    /// A table in GitHub's Markdown.
    #[must_use]
    pub(crate) fn to_markdown(&self) -> String {
        markdown::document(self)
    }

    /// A page that needs nothing else.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::document(self)
    }

    fn count(&self, status: Status) -> usize {
        self.counts.get(status.name()).copied().unwrap_or_default()
    }

    /// Seconds of all instances together.
    fn seconds(&self) -> f64 {
        let own = |outcome: &Outcome| {
            if outcome.from_earlier {
                0.0
            } else {
                outcome.seconds.total
            }
        };
        self.instances.iter().map(own).sum()
    }

    /// Each status that there is, with its count, best first.
    fn statuses(&self) -> impl Iterator<Item = (Status, usize)> {
        Status::ALL
            .into_iter()
            .map(|status| (status, self.count(status)))
            .filter(|(_, count)| *count > 0)
    }
}

/// `3/4`, or a dash.
fn count_text(count: Option<super::outcome::Count>) -> String {
    count.map_or_else(
        || "–".to_owned(),
        |count| format!("{}/{}", count.success, count.total),
    )
}

/// Text without what documents of XML and HTML cannot hold: control characters (XML 1.0, section 2.2).
/// Their own signs are escaped by the templates.
fn clean(text: &str) -> String {
    let held = |c: char| match c {
        '\t' | '\n' | '\r' => c,
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::Problem;
    use super::super::outcome::{Count, Seconds};
    use super::*;

    pub(super) fn outcomes() -> Vec<Outcome> {
        let mut good = Outcome::new("a__good-1", "org/m", Status::Resolved);
        good.fail_to_pass = Some(Count {
            success: 1,
            total: 1,
        });
        good.pass_to_pass = Some(Count {
            success: 59,
            total: 59,
        });
        good.seconds = Seconds {
            total: 2.34,
            ..Seconds::default()
        };
        let mut bad = Outcome::new("a__bad-1", "org/m", Status::PatchFailed);
        bad.why = Some("x|<y>, hunk 1: no\nline".to_owned());
        bad.patch_problems = vec![Problem {
            file: "x|<y>".to_owned(),
            hunk: Some(1),
            why: "no\nline".to_owned(),
            nearest: None,
        }];
        bad.tail = Some("error: \u{1b}[31m<&>]]>".to_owned());
        let lost = Outcome::new("a__lost-1", "org/m", Status::Infra).because("no disk");
        let lost = Outcome {
            advice: Some("use <another>".to_owned()),
            ..lost
        };
        vec![good, bad, lost]
    }

    pub(super) fn results(outcomes: &[Outcome]) -> Results<'_> {
        Results::new(
            "r",
            "org/m",
            "rows.jsonl",
            "2026-01-01T00:00:00Z",
            outcomes,
            2,
        )
    }

    #[test]
    fn the_document_counts_and_lists() {
        let outcomes = outcomes();
        let text = results(&outcomes).to_json().unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["counts"]["resolved"], 1);
        assert_eq!(document["withoutPrediction"], 2);
        assert_eq!(document["instances"][1]["status"], "patch_failed");
    }

    #[test]
    fn what_documents_cannot_hold_is_replaced() {
        assert_eq!(clean("<a>\u{1b}\u{ffff}\t\n"), "<a>\u{fffd}\u{fffd}\t\n");
    }
}
