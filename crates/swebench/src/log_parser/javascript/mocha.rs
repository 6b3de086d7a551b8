//! Mocha's `spec` reporter.

use super::super::LogError;
use super::super::status::{Status, StatusMap};
use super::karma::one_line;
use crate::pattern::Pattern;
use crate::python_text::{is_space, strip};

static SUMMARY: Pattern = Pattern::new(r"\n[ \t]*\d+ passing");
static NUMBERED: Pattern = Pattern::new(r"^\d+\)");
static TIME: Pattern = Pattern::new(r"\(\d+ms\)");

/// `parse_log_highlightjs`: tests with the line above them that is indented, until the summary.
pub(in super::super) fn highlightjs(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let (Some(summary), Some(time)) = (SUMMARY.get(), TIME.get()) else {
        return Ok(found);
    };
    let log = summary.split(log).next().unwrap_or(log);
    let mut suite: Option<&str> = None;
    for line in log.split('\n') {
        let text = strip(line);
        let mark = text.chars().next().filter(|c| matches!(c, '✓' | '✔'));
        let (behind, status) = match mark {
            Some(mark) => (line.split_once(mark), Status::Passed),
            None if NUMBERED.is_match(text) => (line.split_once(')'), Status::Failed),
            None => {
                if line.starts_with("  ") {
                    suite = Some(text);
                }
                continue;
            }
        };
        let test = time.replace_all(behind.map_or("", |(_, test)| test), "");
        let test = strip(&test);
        match suite {
            Some(suite) => found.add(format!("{suite}.{test}"), status)?,
            None => found.add(test, status)?,
        }
    }
    Ok(found)
}

static ESLINT: Pattern =
    Pattern::new(r"[\s\x1c-\x1f]{2}\d+\)(?<test>(?s:.*?))[\s\x1c-\x1f]+.*Error");

/// `parse_log_eslint`: the numbered failures, each up to the line of its error.
pub(in super::super) fn eslint(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let Some(pattern) = ESLINT.get() else {
        return found;
    };
    for groups in pattern.captures_iter(log) {
        if let Some(test) = groups.name("test") {
            found.insert(one_line(test.as_str()), Status::Failed);
        }
    }
    found
}

static MARKED: Pattern = Pattern::new(r"^\d+\)[\s\x1c-\x1f](?<test>.*)");

/// `parse_log_marked`: lines that begin with a number and a bracket are failures.
pub(in super::super) fn marked(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let Some(pattern) = MARKED.get() else {
        return found;
    };
    for line in log.split('\n') {
        let test = pattern
            .captures(line)
            .and_then(|groups| groups.name("test"));
        if let Some(test) = test {
            found.insert(test.as_str().trim_matches(is_space), Status::Failed);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read};

    #[test]
    fn the_summary_and_what_follows_it_name_no_tests() {
        let log = "✓ top\n\n  hljs\n    ✔ one (12ms)\n    1) two\n  other\n    ✓ three\n\n  2 passing (1s)\n\
                   \u{20} 1 failing\n\n  1) hljs\n";
        assert_eq!(
            read("parse_log_highlightjs", log),
            [
                ("top", "PASSED"),
                ("hljs.one", "PASSED"),
                ("hljs.two", "FAILED"),
                ("other.three", "PASSED")
            ]
            .map(pairs)
        );
    }

    #[test]
    fn failures_are_read_by_their_numbers() {
        let log =
            "  1) rules\n       no-x:\n      AssertionError [ERR]: a\n  2) b:\n     TypeError: c\n";
        assert_eq!(
            read("parse_log_eslint", log),
            [("rules no-x:", "FAILED"), ("b:", "FAILED")].map(pairs)
        );
        let log = "1) should a \n 2) not this\n12) b\n";
        assert_eq!(
            read("parse_log_marked", log),
            [("should a", "FAILED"), ("b", "FAILED")].map(pairs)
        );
    }
}
