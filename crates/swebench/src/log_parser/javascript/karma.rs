//! Karma: browsers whose lines name what failed, and a reporter that draws a tree.

use super::super::LogError;
use super::super::status::{Status, StatusMap};
use super::indented::without_escapes;
use crate::pattern::Pattern;
use crate::python_text::{strip, words};

static TREE: Pattern =
    Pattern::new(r"^(?<indent>[\s\x1c-\x1f]*)(?<status>[✔✖])?[\s\x1c-\x1f](?<test>.*)$");

/// `parse_log_karma`: a tree of suites, from the browser's start to the summary. A line that is
/// indented more than the one before is a suite within it; one that is indented less closes one.
///
/// # Errors
/// Where more suites are closed than were opened.
pub(in super::super) fn tree(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let Some(tree) = TREE.get() else {
        return Ok(found);
    };
    let mut depth: Option<usize> = None;
    let mut suites: Vec<&str> = Vec::new();
    let mut started = false;
    for line in log.split('\n') {
        if line.starts_with("SUMMARY:") {
            break;
        }
        if line.contains("Starting browser") {
            started = true;
            continue;
        }
        let Some(groups) = tree.captures(line).filter(|_| started) else {
            continue;
        };
        let text = |name| groups.name(name).map(|group| group.as_str());
        let test = text("test").unwrap_or_default();
        let indent = text("indent").unwrap_or_default().chars().count();
        match text("status") {
            Some(mark) => {
                suites.push(test);
                let name = suites.join(" > ");
                suites.pop();
                let status = match mark {
                    "✔" => Status::Passed,
                    _ => Status::Failed,
                };
                found.add(name, status)?;
            }
            None if indent == 0 => {}
            None if depth.is_none_or(|depth| indent > depth) => {
                depth = Some(indent);
                suites.push(test);
            }
            None if depth.is_some_and(|depth| indent < depth) => {
                depth = Some(indent);
                suites.pop().ok_or_else(|| LogError::Line {
                    text: line.to_owned(),
                })?;
            }
            None => {}
        }
    }
    Ok(found)
}

static BPMN_JS: [Pattern; 4] = [
    Pattern::new(
        r"2KPhantomJS[\s\x1c-\x1f][\d\.]+[\s\x1c-\x1f]\(Linux[\s\x1c-\x1f][\d\.]+\)[\s\x1c-\x1f](?<test>.*)FAILED\n",
    ),
    Pattern::new(
        r"2KPhantomJS[\s\x1c-\x1f][\d\.]+[\s\x1c-\x1f]\(Linux[\s\x1c-\x1f]x86_64\)[\s\x1c-\x1f](?<test>.*)FAILED\n",
    ),
    Pattern::new(
        r"Chrome[\s\x1c-\x1f]Headless[\s\x1c-\x1f].*[\s\x1c-\x1f]\(Linux[\s\x1c-\x1f]x86_64\)[\s\x1c-\x1f](?<test>.*)FAILED\n",
    ),
    Pattern::new(
        r"HeadlessChrome[\s\x1c-\x1f][\d\.]+[\s\x1c-\x1f]\(Linux[\s\x1c-\x1f][\d\.]+\)[\s\x1c-\x1f](?<test>.*)FAILED\n",
    ),
];

/// `parse_log_bpmn_js`: what failed in PhantomJS and in Chrome.
pub(in super::super) fn bpmn_js(log: &str) -> StatusMap {
    failures(log, &BPMN_JS, str::to_owned)
}

static OPENLAYERS: [Pattern; 4] = [
    Pattern::new(
        r"Chrome[\s\x1c-\x1f]Headless[\s\x1c-\x1f][\d\.]+[\s\x1c-\x1f]\(Linux[\s\x1c-\x1f][^\s\x1c-\x1f]+\)[\s\x1c-\x1f](?<test>.*)[\s\x1c-\x1f]FAILED\n",
    ),
    Pattern::new(
        r"Chrome[\s\x1c-\x1f][\d\.]+[\s\x1c-\x1f]\(Linux[\s\x1c-\x1f][^\s\x1c-\x1f]+\)[\s\x1c-\x1f](?<test>.*)FAILED\n",
    ),
    Pattern::new(r"(?m)^[\s\x1c-\x1f]{2}\d+\)(?<test>(?s:.*?))Error:"),
    Pattern::new(r"(?m)^case[\s\x1c-\x1f](?<test>.*):[\s\x1c-\x1f]mismatch"),
];

/// `parse_log_openlayers`: what failed in Chrome, in Mocha and in comparisons of pictures.
pub(in super::super) fn openlayers(log: &str) -> StatusMap {
    failures(log, &OPENLAYERS, one_line)
}

static CHART_JS: [Pattern; 1] = [Pattern::new(
    r"(?m)Chrome[\s\x1c-\x1f][\d\.]+[[\s\x1c-\x1f]--[\r\n]]\(.+?\)[[\s\x1c-\x1f]--[\r\n]](?<test>.*)FAILED$",
)];

/// `parse_log_chart_js`: what failed in Chrome, coloured or not.
pub(in super::super) fn chart_js(log: &str) -> StatusMap {
    failures(&without_escapes(log), &CHART_JS, str::to_owned)
}

/// The tests that patterns find, all of which failed.
fn failures(log: &str, patterns: &[Pattern], name: impl Fn(&str) -> String) -> StatusMap {
    let mut found = StatusMap::default();
    for pattern in patterns.iter().filter_map(Pattern::get) {
        for groups in pattern.captures_iter(log) {
            if let Some(test) = groups.name("test") {
                found.insert(name(test.as_str()), Status::Failed);
            }
        }
    }
    found
}

/// Text on one line, with single spaces.
pub(super) fn one_line(text: &str) -> String {
    words(strip(text)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read};
    use super::*;

    #[test]
    fn a_tree_names_the_suites_around_a_test() {
        let log = "    ✔ early\nStarting browser Chrome\n\n  render\n    hooks\n      ✔ one\n\
                   \u{20}     ✖ two\nSUMMARY:\n      ✔ late\n";
        assert_eq!(
            read("parse_log_karma", log),
            [
                ("render > hooks > one", "PASSED"),
                ("render > hooks > two", "FAILED")
            ]
            .map(pairs)
        );
        tree("Starting browser\n    a\n   b\n  c\n").unwrap_err();
    }

    #[test]
    fn browsers_name_what_failed() {
        let log = "Chrome Headless 96.0 (Linux x86_64) a b FAILED\n\
                   HeadlessChrome 1.2 (Linux 0.0.0) c FAILED\n";
        assert_eq!(
            read("parse_log_bpmn_js", log),
            [("a b ", "FAILED"), ("c ", "FAILED")].map(pairs)
        );
        let log = "Chrome 96.0.1 (Linux x86_64) ol.x   y FAILED\n  1) ol\n     z:\n   Error: q\n\
                   case simple: mismatch 0.1\n";
        assert_eq!(
            read("parse_log_openlayers", log),
            [
                ("ol.x y", "FAILED"),
                ("ol z:", "FAILED"),
                ("simple", "FAILED")
            ]
            .map(pairs)
        );
        let log = "\u{1b}[31mChrome 96.0 (Linux x86_64) chart a FAILED\u{1b}[39m\nChrome 96.0 (Linux) ok\n";
        assert_eq!(
            read("parse_log_chart_js", log),
            [pairs(("chart a ", "FAILED"))]
        );
    }
}
