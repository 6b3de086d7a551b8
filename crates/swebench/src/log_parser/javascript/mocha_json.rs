//! Mocha's `json` reporter, read as JSON and as text.

use serde_json::Value;

use super::super::LogError;
use super::super::status::{Status, StatusMap};
use crate::pattern::Pattern;

/// The command before each document, as the evaluation script's trace shows it.
const PRISM: &str = "./node_modules/.bin/mocha tests/run.js --reporter json";

/// `parse_log_prismjs`: the document behind each traced command.
///
/// # Errors
/// Where something else stands there.
pub(in super::super) fn prismjs(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    for run in log.split(PRISM).skip(1) {
        let run = run.split_once('{').map_or(run, |(_, rest)| rest);
        let run = run.rsplit_once('}').map_or(run, |(rest, _)| rest);
        let unreadable = |why: String| LogError::Json { why };
        let results: Value = serde_json::from_str(&format!("{{{run}}}"))
            .map_err(|error| unreadable(error.to_string()))?;
        for (list, status) in [("failures", Status::Failed), ("passes", Status::Passed)] {
            let tests = results.get(list).and_then(Value::as_array);
            let tests = tests.ok_or_else(|| unreadable(format!("it has no list {list:?}")))?;
            for test in tests {
                let title = test.get("fullTitle").and_then(Value::as_str);
                let title =
                    title.ok_or_else(|| unreadable("a test has no \"fullTitle\"".to_owned()))?;
                found.insert(title, status.clone());
            }
        }
    }
    Ok(found)
}

static TITLE: Pattern = Pattern::new("\"fullTitle\":[\\s\\x1c-\\x1f]\"(?<test>.*)\",\n");

/// `parse_log_lighthouse` of versions before 3: the titles in the lists behind each traced command.
pub(in super::super) fn lighthouse(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    for run in log
        .split("./node_modules/.bin/mocha --reporter json")
        .skip(1)
    {
        titles(&mut found, run, ("\"passes\": [", "]"), &Status::Passed);
        titles(&mut found, run, ("\"failures\": [", "],"), &Status::Failed);
    }
    found
}

/// `parse_log_cypress`: the titles in the lists of each package.
pub(in super::super) fn cypress(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let mut runs: Vec<&str> = log.split("../..").collect();
    // What stands behind the last package is no run.
    runs.pop();
    for run in runs {
        titles(&mut found, run, ("  \"passes\": [", "  }"), &Status::Passed);
        titles(
            &mut found,
            run,
            ("  \"failures\": [", "  ],"),
            &Status::Failed,
        );
    }
    found
}

/// The titles between the last start and the last end behind it.
fn titles(found: &mut StatusMap, run: &str, (start, end): (&str, &str), status: &Status) {
    let list = run.rsplit_once(start).map_or(run, |(_, list)| list);
    let list = list.rsplit_once(end).map_or(list, |(list, _)| list);
    let Some(title) = TITLE.get() else { return };
    for groups in title.captures_iter(list) {
        if let Some(test) = groups.name("test") {
            found.insert(test.as_str(), status.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read, read_of};
    use super::*;

    #[test]
    fn prism_writes_one_document_for_each_command() {
        let log = format!(
            "+ {PRISM}\nnoise {{\"passes\": [{{\"fullTitle\": \"a\"}}], \"failures\": []}}\n\
             + {PRISM}\n{{\"passes\": [], \"failures\": [{{\"fullTitle\": \"b\"}}]}} end\n"
        );
        assert_eq!(
            read("parse_log_prismjs", &log),
            [("a", "PASSED"), ("b", "FAILED")].map(pairs)
        );
        for (output, why) in [
            ("Error", "key must be a string at line 1 column 2"),
            ("{\"passes\": []}", "it has no list \"failures\""),
            (
                "{\"failures\": [{}], \"passes\": []}",
                "a test has no \"fullTitle\"",
            ),
        ] {
            let error = prismjs(&format!("{PRISM}{output}")).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn titles_are_read_from_lists() {
        let list = |name: &str, title: &str| {
            format!("  \"{name}\": [\n    {{\n      \"fullTitle\": \"{title}\",\n    }}\n  ],\n")
        };
        let passes = list("passes", "a").replace("],", "]");
        let body = format!("{{\n{}{passes}}}\n", list("failures", "b"));
        let log = format!("./node_modules/.bin/mocha --reporter json {body}");
        assert_eq!(
            read_of("parse_log_lighthouse", "a__b-1", "2.4", &log),
            [("a", "PASSED"), ("b", "FAILED")].map(pairs)
        );
        let found = cypress(&format!("{body}../..{body}"));
        assert_eq!(found.get("b"), Some(&Status::Failed));
    }
}
