//! JUnit XML: what CI systems show as test results.
//!
//! Source: the schema that Jenkins' xunit plugin publishes (`junit-10.xsd`), which others follow.

use maud::{Markup, PreEscaped, html};

use super::super::outcome::{Outcome, Status};
use super::{Results, clean};

const DECLARATION: PreEscaped<&str> = PreEscaped("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");

pub(super) fn document(results: &Results<'_>) -> String {
    let all = results.instances;
    let errors = all.iter().filter(|one| !one.status.is_verdict()).count();
    let failures = all.len() - errors - results.count(Status::Resolved);
    let time = format!("{:.3}", results.seconds());
    let name = format!("{} {}", results.model, results.run_id);
    let document = html! {
        (DECLARATION)
        testsuites tests=(all.len()) failures=(failures) errors=(errors) time=(time) {
            "\n  "
            testsuite
                name=(clean(&name)) tests=(all.len()) failures=(failures) errors=(errors) time=(time)
                timestamp=(clean(results.created_at.trim_end_matches('Z')))
            {
                "\n"
                @for outcome in all { "    " (case(outcome)) "\n" }
                "  "
            }
            "\n"
        }
        "\n"
    };
    document.into_string()
}

fn case(outcome: &Outcome) -> Markup {
    let time = format!("{:.3}", outcome.seconds.total);
    let status = outcome.status.name();
    let message = clean(outcome.why.as_deref().unwrap_or(status));
    html! {
        testcase classname=(clean(&outcome.model)) name=(clean(&outcome.instance_id)) time=(time) {
            @if outcome.status == Status::Resolved {
            } @else if outcome.status.is_verdict() {
                failure type=(status) message=(message) { (said(outcome)) }
            } @else {
                error type=(status) message=(message) { (said(outcome)) }
            }
            @if let (false, Some(tail)) = (outcome.status == Status::Resolved, &outcome.tail) {
                system-out { (clean(tail)) }
            }
        }
    }
}

/// What is known of a failure, a line each.
fn said(outcome: &Outcome) -> String {
    let tests = outcome.failed_tests.iter();
    let tests = tests.map(|test| format!("{} {}\n", test.kind, test.test));
    let problems = outcome.patch_problems.iter();
    let problems = problems.map(|problem| format!("{problem}\n"));
    let advice = outcome.advice.iter();
    let advice = advice.map(|advice| format!("hint: {advice}\n"));
    clean(&tests.chain(problems).chain(advice).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{outcomes, results};

    #[test]
    fn failures_are_told_from_errors() {
        let outcomes = outcomes();
        let text = results(&outcomes).to_junit();
        assert!(
            text.contains("<testsuites tests=\"3\" failures=\"1\" errors=\"1\" time=\"2.340\">")
        );
        assert!(text.contains(
            "<testcase classname=\"org/m\" name=\"a__good-1\" time=\"2.340\"></testcase>"
        ));
        assert!(
            text.contains(
                "<failure type=\"patch_failed\" message=\"x|&lt;y&gt;, hunk 1: no\nline\">"
            )
        );
        assert!(text.contains(
            "<error type=\"infra\" message=\"no disk\">hint: use &lt;another&gt;\n</error>"
        ));
        assert!(text.contains("<system-out>error: \u{fffd}[31m&lt;&amp;&gt;]]&gt;</system-out>"));
        assert!(roxmltree::Document::parse(&text).is_ok(), "{text}");
    }
}
