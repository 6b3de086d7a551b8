//! One page of HTML, without scripts and without anything from elsewhere.

use maud::{Markup, html};

use super::super::outcome::{Outcome, Status};
use super::{Results, clean, count_text};
use ohoci_report::page::{Page, Tile, Tone, tiles};

const STYLE: &str = "\
.parts{display:flex;height:1.2rem;border-radius:.3rem;overflow:hidden;gap:2px;margin:1rem 0 0}\
.parts i{min-width:3px;background:var(--soft)}.parts .good{background:var(--good)}\
.parts .bad{background:var(--bad)}.parts .warn{background:var(--warn)}\
h2+.card{margin-top:.5rem}pre{background:var(--back);border-radius:.4rem;margin:.25rem 0 1rem;padding:.6rem .8rem;\
overflow:auto;max-height:24rem;white-space:pre-wrap;overflow-wrap:anywhere}\
details p{margin:.75rem 0 0}summary{cursor:pointer;color:var(--soft);overflow-wrap:anywhere}\
tr.more td{border-top:0;padding-top:0}";

pub(super) fn document(results: &Results<'_>) -> String {
    let count = results.instances.len();
    let resolved = results.count(Status::Resolved);
    let page = Page {
        title: &clean(&format!(
            "{}: {resolved} of {count} resolved",
            results.model
        )),
        style: STYLE,
        body: html! {
            p {
                "Run " (clean(results.run_id)) ", dataset " (clean(results.dataset)) ", "
                (clean(results.created_at))
            }
            (numbers(results))
            (parts(results))
            h2 { "Instances" }
            div.card.columns {
                table {
                    thead {
                        tr {
                            th { "instance" }
                            th { "status" }
                            @for name in ["FAIL_TO_PASS", "PASS_TO_PASS", "image", "patch", "tests", "teardown", "seconds"] {
                                th.number { (name) }
                            }
                        }
                    }
                    tbody {
                        @for outcome in results.instances { (row(outcome)) }
                    }
                }
            }
        },
    };
    page.to_html()
}

fn numbers(results: &Results<'_>) -> Markup {
    let statuses = results.statuses();
    let counts =
        statuses.map(|(status, count)| Tile::new(words(status), count).toned(tone(status)));
    let without = results.without_prediction;
    let without = (without > 0).then(|| Tile::new("without a prediction", without));
    let seconds = Tile::new("seconds of all", format!("{:.0}", results.seconds()));
    tiles(counts.chain(without).chain([seconds]))
}

/// How large the part of each status is.
fn parts(results: &Results<'_>) -> Markup {
    html! {
        div.parts {
            @for (status, count) in results.statuses() {
                i.(tone(status).class()) style={ "flex:" (count) } title={ (count) " " (words(status)) } {}
            }
        }
    }
}

fn row(outcome: &Outcome) -> Markup {
    let seconds = &outcome.seconds;
    let details = details(outcome);
    html! {
        tr {
            td { code { (clean(&outcome.instance_id)) } }
            td {
                span.word.(tone(outcome.status).class()) { (words(outcome.status)) }
                @if outcome.is_flaky() { ", flaky" }
            }
            td.number { (count_text(outcome.fail_to_pass)) }
            td.number { (count_text(outcome.pass_to_pass)) }
            @for part in [seconds.image, seconds.patch, seconds.tests, seconds.teardown, seconds.total] {
                td.number { (format!("{part:.1}")) }
            }
        }
        @if !details.0.is_empty() {
            tr.more {
                td colspan="9" {
                    details {
                        summary { (clean(outcome.why.as_deref().unwrap_or("more"))) }
                        (details)
                    }
                }
            }
        }
    }
}

fn details(outcome: &Outcome) -> Markup {
    let failed = outcome.failed_tests.iter();
    let lists: [(&str, Vec<String>); 6] = [
        ("What may help", outcome.advice.iter().cloned().collect()),
        (
            "Tests that failed",
            failed
                .map(|test| format!("{} {}", test.kind, test.test))
                .collect(),
        ),
        (
            "Tests that do not always do the same",
            outcome.flaky_tests.clone(),
        ),
        (
            "Why the patch does not apply",
            outcome
                .patch_problems
                .iter()
                .map(ToString::to_string)
                .collect(),
        ),
        (
            "Changes that the tests' patch undoes",
            outcome.overwritten_files.clone(),
        ),
        ("The end of the log", outcome.tail.iter().cloned().collect()),
    ];
    html! {
        @for (title, lines) in &lists {
            @if !lines.is_empty() {
                p { (title) }
                pre { (clean(&lines.join("\n"))) }
            }
        }
    }
}

/// A status in words.
fn words(status: Status) -> String {
    status.name().replace('_', " ")
}

/// What a status says of the patch, or that it says nothing of it.
fn tone(status: Status) -> Tone {
    match status {
        Status::Resolved => Tone::Good,
        status if status.is_verdict() => Tone::Bad,
        _ => Tone::Warn,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outcomes, results};

    #[test]
    fn nothing_of_a_log_becomes_part_of_the_page() {
        let outcomes = outcomes();
        let text = results(&outcomes).to_html();
        assert!(
            text.contains("<title>org/m: 1 of 3 resolved</title>"),
            "{text}"
        );
        assert!(
            text.contains("error: \u{fffd}[31m&lt;&amp;&gt;]]&gt;"),
            "{text}"
        );
        assert!(!text.contains("<y>"), "{text}");
        assert!(
            text.contains("<p>What may help</p><pre>use &lt;another&gt;</pre>"),
            "{text}"
        );
        assert!(
            text.contains("<div class=\"tile good\"><b>1</b><span>resolved</span></div>"),
            "{text}"
        );
    }
}
