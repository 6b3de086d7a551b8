//! One page of HTML, without scripts and without anything from elsewhere.

use std::fmt::Write as _;

use super::super::outcome::Outcome;
use super::{Results, count_text, escaped};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.4rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
pre{background:#f5f5f5;padding:.6rem;overflow:auto;max-height:24rem;font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere}
.s{white-space:nowrap;font-weight:600}.resolved{color:#116329}.unresolved,.patch_failed,.empty_patch,.timeout,.oom,.disk{color:#a40e26}.infra,.build_failed,.ungradable{color:#7d4e00}
@media (prefers-color-scheme:dark){body{background:#111;color:#ddd}pre{background:#1c1c1c}th,td{border-color:#333}.resolved{color:#4ac26b}.unresolved,.patch_failed,.empty_patch,.timeout,.oom,.disk{color:#ff7b72}.infra,.build_failed,.ungradable{color:#d29922}}";

pub(super) fn document(results: &Results<'_>) -> String {
    let title = format!(
        "{}: {} of {} resolved",
        escaped(results.model),
        results.count(super::Status::Resolved),
        results.instances.len()
    );
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n<p>Run {}, dataset {}, {}</p>\n<p>",
        escaped(results.run_id),
        escaped(results.dataset),
        escaped(results.created_at),
    );
    for (status, count) in results.statuses() {
        let name = status.name();
        let _ = write!(text, "<span class=\"s {name}\">{count} {name}</span> ");
    }
    if results.without_prediction > 0 {
        let _ = write!(text, "{} without a prediction", results.without_prediction);
    }
    text.push_str("</p>\n<table>\n<tr><th>instance<th>status<th>FAIL_TO_PASS<th>PASS_TO_PASS<th>seconds (image, patch, tests, teardown)\n");
    for outcome in results.instances {
        row(&mut text, outcome);
    }
    text.push_str("</table>\n</html>\n");
    text
}

fn row(text: &mut String, outcome: &Outcome) {
    let name = outcome.status.name();
    let seconds = &outcome.seconds;
    let _ = write!(
        text,
        "<tr><td>{}<td class=\"s {name}\">{name}{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{:.1} ({:.1}, {:.1}, {:.1}, {:.2})",
        escaped(&outcome.instance_id),
        if outcome.is_flaky() { ", flaky" } else { "" },
        count_text(outcome.fail_to_pass),
        count_text(outcome.pass_to_pass),
        seconds.total,
        seconds.image,
        seconds.patch,
        seconds.tests,
        seconds.teardown,
    );
    text.push('\n');
    let details = details(outcome);
    if !details.is_empty() {
        let summary = escaped(outcome.why.as_deref().unwrap_or("more"));
        let _ = writeln!(
            text,
            "<tr><td colspan=\"5\"><details><summary>{summary}</summary>{details}</details>"
        );
    }
}

fn details(outcome: &Outcome) -> String {
    let mut text = String::new();
    let mut list = |title: &str, lines: &mut dyn Iterator<Item = String>| {
        let lines: Vec<String> = lines.collect();
        if !lines.is_empty() {
            let _ = write!(
                text,
                "<p>{title}</p><pre>{}</pre>",
                escaped(&lines.join("\n"))
            );
        }
    };
    list("What may help", &mut outcome.advice.iter().cloned());
    list(
        "Tests that failed",
        &mut outcome
            .failed_tests
            .iter()
            .map(|test| format!("{} {}", test.kind, test.test)),
    );
    list(
        "Tests that do not always do the same",
        &mut outcome.flaky_tests.iter().cloned(),
    );
    list(
        "Why the patch does not apply",
        &mut outcome.patch_problems.iter().map(ToString::to_string),
    );
    list(
        "Changes that the tests' patch undoes",
        &mut outcome.overwritten_files.iter().cloned(),
    );
    list("The end of the log", &mut outcome.tail.iter().cloned());
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outcomes, results};

    #[test]
    fn nothing_of_a_log_becomes_part_of_the_page() {
        let outcomes = outcomes();
        let text = results(&outcomes).to_html();
        assert!(text.contains("<title>org/m: 1 of 3 resolved</title>"));
        assert!(text.contains("error: \u{fffd}[31m&lt;&amp;&gt;]]&gt;"));
        assert!(!text.contains("<y>"));
        assert!(text.contains("<p>What may help</p><pre>use &lt;another&gt;</pre>"));
        assert!(text.contains("<span class=\"s resolved\">1 resolved</span>"));
    }
}
