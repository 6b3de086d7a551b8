//! JUnit XML: what CI systems show as test results.
//!
//! Source: the schema that Jenkins' xunit plugin publishes (`junit-10.xsd`), which others follow.

use std::fmt::Write as _;

use super::super::outcome::{Outcome, Status};
use super::{Results, escaped};

pub(super) fn document(results: &Results<'_>) -> String {
    let all = results.instances;
    let errors = all.iter().filter(|one| !one.status.is_verdict()).count();
    let failures = all.len() - errors - results.count(Status::Resolved);
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let counts = format!(
        "tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{:.3}\"",
        all.len(),
        results.seconds()
    );
    let _ = writeln!(text, "<testsuites {counts}>");
    let name = escaped(&format!("{} {}", results.model, results.run_id));
    let _ = writeln!(
        text,
        "  <testsuite name=\"{name}\" {counts} timestamp=\"{}\">",
        escaped(results.created_at.trim_end_matches('Z'))
    );
    for outcome in all {
        case(&mut text, outcome);
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn case(text: &mut String, outcome: &Outcome) {
    let _ = write!(
        text,
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
        escaped(&outcome.model),
        escaped(&outcome.instance_id),
        outcome.seconds.total
    );
    if outcome.status == Status::Resolved {
        text.push_str("/>\n");
        return;
    }
    let element = if outcome.status.is_verdict() {
        "failure"
    } else {
        "error"
    };
    let status = outcome.status.name();
    let _ = write!(
        text,
        ">\n      <{element} type=\"{status}\" message=\"{}\">",
        escaped(outcome.why.as_deref().unwrap_or(status))
    );
    for test in &outcome.failed_tests {
        let line = format!("{} {}\n", test.kind, test.test);
        text.push_str(&escaped(&line));
    }
    for problem in &outcome.patch_problems {
        text.push_str(&escaped(&format!("{problem}\n")));
    }
    if let Some(advice) = &outcome.advice {
        text.push_str(&escaped(&format!("hint: {advice}\n")));
    }
    let _ = writeln!(text, "</{element}>");
    if let Some(tail) = &outcome.tail {
        let _ = writeln!(text, "      <system-out>{}</system-out>", escaped(tail));
    }
    text.push_str("    </testcase>\n");
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
        assert!(text.contains("<testcase classname=\"org/m\" name=\"a__good-1\" time=\"2.340\"/>"));
        assert!(
            text.contains(
                "<failure type=\"patch_failed\" message=\"x|&lt;y&gt;, hunk 1: no\nline\">"
            )
        );
        assert!(text.contains(
            "<error type=\"infra\" message=\"no disk\">hint: use &lt;another&gt;\n</error>"
        ));
        assert!(text.contains("<system-out>error: \u{fffd}[31m&lt;&amp;&gt;]]&gt;</system-out>"));
    }
}
