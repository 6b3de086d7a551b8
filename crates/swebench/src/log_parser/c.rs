//! Test runners of projects in C and C++.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/c.py`.

use roxmltree::{Document, Node};

use super::lines::{each, matches};
use super::status::{Status, StatusMap};
use super::{LogError, lines};
use crate::pattern::Pattern;

static REDIS: Pattern = Pattern::new(
    r"^\[(?<status>ok|err|skip|ignore)\]:[\s\x1c-\x1f](?<test>.+?)(?:[\s\x1c-\x1f]\(\d+[\s\x1c-\x1f]*m?s\))?$",
);

/// Where a failed test of Redis stands: ` in tests/unit/x.tcl`.
static REDIS_FILE: Pattern = Pattern::new(r"[\s\x1c-\x1f]+in[\s\x1c-\x1f]+[^\s\x1c-\x1f]+$");

static JQ: Pattern = Pattern::new(r"^(?<status>PASS|FAIL):[\s\x1c-\x1f](?<test>.+)$");

static MICROPYTHON: Pattern = Pattern::new(r"^(?<status>pass|FAIL|skip)[\s\x1c-\x1f]+(?<test>.+)$");

static GOOGLETEST: Pattern = Pattern::new(
    r"^.*\[[\s\x1c-\x1f]*(?<status>OK|FAILED)[\s\x1c-\x1f]*\][\s\x1c-\x1f](?<test>.*)[\s\x1c-\x1f]\(.*\)$",
);

/// Elements within elements: more than any test binary writes, and few enough to be read in time.
const MAX_DEPTH: usize = 256;

/// `parse_log_redis`: `[ok]: test (3 ms)`, of Redis' and Valkey's own runner.
pub(super) fn redis(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for (word, test) in matches(log, &REDIS) {
        match (word, REDIS_FILE.get()) {
            ("ok", _) => found.insert(test, Status::Passed),
            ("err", Some(file)) => found.insert(file.replace(test, ""), Status::Failed),
            _ => found.insert(test, Status::Skipped),
        }
    }
    found
}

/// `parse_log_jq`: `PASS: tests/jqtest`, as Automake's test driver writes it.
pub(super) fn jq(log: &str) -> StatusMap {
    each(log, &JQ, |word| {
        Some(match word {
            "PASS" => Status::Passed,
            _ => Status::Failed,
        })
    })
}

/// `parse_log_micropython_test`: `pass  basics/a.py`.
pub(super) fn micropython(log: &str) -> StatusMap {
    each(log, &MICROPYTHON, |word| {
        Some(match word {
            "pass" => Status::Passed,
            "FAIL" => Status::Failed,
            _ => Status::Skipped,
        })
    })
}

/// `parse_log_googletest`: `[       OK ] suite.test (0 ms)`.
pub(super) fn googletest(log: &str) -> StatusMap {
    lines::each(log, &GOOGLETEST, |word| {
        Some(match word {
            "OK" => Status::Passed,
            _ => Status::Failed,
        })
    })
}

/// `parse_log_doctest`: the first document that doctest's XML reporter writes (`-s -r=xml`). A test is
/// a subcase of a test case, and passes where every expression within it holds.
pub(super) fn doctest(log: &str) -> Result<StatusMap, LogError> {
    const END: &str = "</doctest>";
    let mut found = StatusMap::default();
    let Some((_, rest)) = log.split_once("<doctest") else {
        return Ok(found);
    };
    let start = log.len() - rest.len() - "<doctest".len();
    let unreadable = |why: String| LogError::Xml { why };
    let text = log
        .get(start..)
        .and_then(|text| text.get(..text.find(END)? + END.len()))
        .ok_or_else(|| unreadable(format!("there is no {END}")))?;
    let document = Document::parse(text).map_err(|error| unreadable(error.to_string()))?;
    // The XML reader lets names begin with what only their rest may hold, such as digits.
    let begins = |name: &str| name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let misnamed = document
        .descendants()
        .filter(Node::is_element)
        .find(|node| {
            !begins(node.tag_name().name()) || node.attributes().any(|a| !begins(a.name()))
        });
    if let Some(node) = misnamed {
        let name = node.tag_name().name();
        return Err(unreadable(format!("a name in the tag {name} is none")));
    }
    // An expression tells of every subcase around it.
    let mut broken = std::collections::HashSet::new();
    for expression in elements(document.root(), "Expression") {
        if expression.attribute("success") == Some("true") {
            continue;
        }
        for (depth, around) in expression.ancestors().enumerate() {
            if depth > MAX_DEPTH {
                return Err(unreadable("its elements are nested too deeply".to_owned()));
            }
            broken.insert(around.id());
        }
    }
    let name = |node: Node<'_, '_>| node.attribute("name").unwrap_or("None").to_owned();
    for case in elements(document.root(), "TestCase") {
        if case.ancestors().nth(MAX_DEPTH).is_some() {
            return Err(unreadable("its elements are nested too deeply".to_owned()));
        }
        for subcase in elements(case, "SubCase") {
            let status = match broken.contains(&subcase.id()) {
                true => Status::Failed,
                false => Status::Passed,
            };
            found.add(format!("{} > {}", name(case), name(subcase)), status)?;
        }
    }
    Ok(found)
}

/// The elements of a name below a node.
fn elements<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'a str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.descendants()
        .skip(1)
        .filter(move |node| node.is_element() && node.tag_name() == name.into())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read};
    use super::*;

    #[test]
    fn redis_tells_durations_and_the_files_of_failures() {
        let log = "[ok]: SET and GET (3 ms)\n[ok]: DEL\n[err]: EXPIRE in tests/unit/expire.tcl\n\
                   [skip]: big\n[ignore]: not here\n[ok]:none\n";
        assert_eq!(
            read("parse_log_redis", log),
            [
                ("SET and GET", "PASSED"),
                ("DEL", "PASSED"),
                ("EXPIRE", "FAILED"),
                ("big", "SKIPPED"),
                ("not here", "SKIPPED"),
            ]
            .map(pairs)
        );
    }

    #[test]
    fn one_line_formats_are_read() {
        for (parser, log, expected) in [
            ("parse_log_jq", "  PASS: tests/a\n", ("tests/a", "PASSED")),
            ("parse_log_jq", "FAIL: tests/b x\n", ("tests/b x", "FAILED")),
            (
                "parse_log_micropython_test",
                "skip  basics/c.py\n",
                ("basics/c.py", "SKIPPED"),
            ),
            (
                "parse_log_googletest",
                "[       OK ] a.b (0 ms)\n",
                ("a.b", "PASSED"),
            ),
            (
                "parse_log_googletest",
                "3: [  FAILED  ] a.c (12 ms)\n",
                ("a.c", "FAILED"),
            ),
        ] {
            assert_eq!(read(parser, log), [pairs(expected)], "{log}");
        }
    }

    #[test]
    fn a_subcase_fails_with_any_expression_within_it() {
        let log = "noise\n<doctest binary=\"t\"><TestSuite><TestCase name=\"a\">\
                   <SubCase name=\"b\"><Expression success=\"true\"/></SubCase>\
                   <SubCase name=\"c\"><SubCase name=\"d\"><Expression success=\"false\"/></SubCase>\
                   <SubCase><Expression success=\"true\"/></SubCase></SubCase>\
                   </TestCase></TestSuite></doctest>\nmore";
        assert_eq!(
            read("parse_log_doctest", log),
            [
                ("a > b", "PASSED"),
                ("a > c", "FAILED"),
                ("a > d", "FAILED"),
                ("a > None", "PASSED"),
            ]
            .map(pairs)
        );
        doctest("<doctest><a ٣b=\"\"/></doctest>").unwrap_err();
        assert!(doctest("nothing").unwrap().is_empty());
        let error = doctest("<doctest><a></doctest>").unwrap_err().to_string();
        assert!(error.starts_with("the XML document in the test output cannot be read: "));
        assert!(
            doctest("<doctest>")
                .unwrap_err()
                .to_string()
                .ends_with("</doctest>")
        );
    }

    #[test]
    fn a_document_of_nothing_but_depth_is_refused_in_time() {
        let deep = 20_000;
        let log = format!(
            "<doctest>{}<Expression success=\"no\"/>{}</doctest>",
            "<TestCase>".repeat(deep),
            "</TestCase>".repeat(deep)
        );
        doctest(&log).unwrap_err();
    }
}
