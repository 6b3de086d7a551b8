//! Markdown, for comments on pull requests and for job summaries.

use std::fmt::Write as _;

use super::super::outcome::Outcome;
use super::{Results, count_text};

/// Most rows of the table: a comment on GitHub holds 65536 characters.
const MOST_ROWS: usize = 300;

pub(super) fn document(results: &Results<'_>) -> String {
    let mut text = format!(
        "## {}: {} of {} resolved\n\nRun {}, dataset {}",
        cell(results.model),
        results.count(super::Status::Resolved),
        results.instances.len(),
        cell(results.run_id),
        cell(results.dataset),
    );
    for (status, count) in results.statuses() {
        let _ = write!(text, " · {count} {}", status.name());
    }
    if results.without_prediction > 0 {
        let _ = write!(
            text,
            " · {} without a prediction",
            results.without_prediction
        );
    }
    text.push_str("\n\n| instance | status | FAIL_TO_PASS | PASS_TO_PASS | seconds | why |\n|---|---|---|---|---|---|\n");
    // What went wrong is what a reader looks for.
    let mut rows: Vec<_> = results.instances.iter().collect();
    rows.sort_by_key(|outcome| {
        (
            outcome.status == super::Status::Resolved,
            &outcome.instance_id,
        )
    });
    for outcome in rows.iter().take(MOST_ROWS) {
        let flaky = if outcome.is_flaky() { ", flaky" } else { "" };
        let _ = writeln!(
            text,
            "| {} | {}{flaky} | {} | {} | {:.1} | {} |",
            cell(&outcome.instance_id),
            outcome.status.name(),
            count_text(outcome.fail_to_pass),
            count_text(outcome.pass_to_pass),
            outcome.seconds.total,
            why(outcome),
        );
    }
    if rows.len() > MOST_ROWS {
        let _ = writeln!(text, "\n{} more are not listed.", rows.len() - MOST_ROWS);
    }
    text
}

/// Why an instance is not resolved, and what may help.
fn why(outcome: &Outcome) -> String {
    let why = cell(outcome.why.as_deref().unwrap_or_default());
    match &outcome.advice {
        None => why,
        Some(advice) => format!("{why} *{}*", cell(advice)).trim_start().to_owned(),
    }
}

/// Text that stays within its cell and means nothing but itself.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(300) {
        match c {
            '|' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '\\' | '~' | '#' | '@' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outcomes, results};

    #[test]
    fn what_failed_comes_first_and_stays_in_its_cell() {
        let outcomes = outcomes();
        let text = results(&outcomes).to_markdown();
        let expected = "## org/m: 1 of 3 resolved\n\nRun r, dataset rows.jsonl · 1 resolved · 1 patch_failed · 1 infra · 2 without a prediction\n\n\
            | instance | status | FAIL_TO_PASS | PASS_TO_PASS | seconds | why |\n|---|---|---|---|---|---|\n\
            | a\\_\\_bad-1 | patch_failed | – | – | 0.0 | x\\|\\<y\\>, hunk 1: no line |\n\
            | a\\_\\_lost-1 | infra | – | – | 0.0 | no disk *use \\<another\\>* |\n\
            | a\\_\\_good-1 | resolved | 1/1 | 59/59 | 2.3 |  |\n";
        assert_eq!(text, expected);
    }
}
