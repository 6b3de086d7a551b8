//! The tests of p5.js, which Grunt and Mocha print among documents and pages that they dump.

use std::collections::HashSet;

use super::super::LogError;
use super::super::status::{Status, StatusMap};
use super::indented::without_escapes;
use crate::pattern::Pattern;
use crate::python_text::{is_space, strip};

/// A numbered failure: the lines of its name up to a colon, at most 1000 characters on.
static FAILED: Pattern = Pattern::new(r"(?m)^[\s\x1c-\x1f]*\d+\)(?<test>(?s:.){0,1000}?):");

static OPENING: Pattern = Pattern::new(r"<(?<name>[\p{L}\p{N}_]+)>");

static NAME: Pattern = Pattern::new(r"^[\p{L}\p{N}_]+$");

/// What taking elements out of a log may cost, in bytes looked at: far more than any true log takes.
const MAX_WORK: usize = 1 << 30;

/// `parse_log_p5js`: the numbered failures, once dumped JSON and XML are gone. Each line of a name is
/// indented more than the one before, else it is none.
///
/// # Errors
/// Where a log holds more elements within elements than can be taken out in sensible time.
pub(in super::super) fn p5js(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let log = without_elements(without_json(&without_escapes(log)), MAX_WORK)?;
    let Some(failed) = FAILED.get() else {
        return Ok(found);
    };
    for groups in failed.captures_iter(&log) {
        let Some(test) = groups.name("test") else {
            continue;
        };
        let lines: Vec<&str> = test.as_str().split('\n').collect();
        let mut outer = 0;
        let is_name = lines.iter().all(|line| {
            let indent = line.chars().take_while(|c| is_space(*c)).count();
            let deeper = indent > outer;
            outer = indent;
            deeper
        });
        if is_name {
            let names: Vec<&str> = lines.into_iter().map(strip).collect();
            found.insert(names.join(":"), Status::Failed);
        }
    }
    Ok(found)
}

/// The lines outside of objects and lists, which begin where a line ends in a bracket.
fn without_json(log: &str) -> String {
    let mut kept = Vec::new();
    let (mut in_object, mut in_list) = (false, false);
    for line in log.split('\n') {
        let text = line.trim_end_matches(is_space);
        if text.ends_with('{') {
            in_object = true;
        } else if text.ends_with('[') {
            in_list = true;
        } else if text == "}" && in_object {
            in_object = false;
        } else if text == "]" && in_list {
            in_list = false;
        } else if !in_object && !in_list {
            let is_object = text.starts_with('{') && text.ends_with('}');
            let is_list = text.starts_with('[') && text.ends_with(']');
            if !is_object && !is_list {
                kept.push(line);
            }
        }
    }
    kept.join("\n")
}

/// Takes out elements without attributes, the first one first, each up to the first end of its name.
/// Beginnings of the same name within it stay, for the ends behind it. It is given up once more than
/// `budget` bytes were looked at.
fn without_elements(mut log: String, budget: usize) -> Result<String, LogError> {
    let Some(opening) = OPENING.get() else {
        return Ok(log);
    };
    let mut work = 0;
    let mut from = 0;
    let mut endless = HashSet::new();
    while let Some(tag) = opening.captures_at(&log, from) {
        let (Some(whole), Some(name)) = (tag.get(0), tag.name("name")) else {
            break;
        };
        let (range, name) = (whole.range(), name.as_str().to_owned());
        from = range.end;
        if endless.contains(&name) {
            continue;
        }
        let closing = format!("</{name}>");
        let behind = log.get(range.end..).unwrap_or_default();
        let Some(length) = behind.find(&closing) else {
            work += behind.len();
            endless.insert(name);
            continue;
        };
        let start = range.start;
        let element = start..range.end + length + closing.len();
        work += element.len();
        if work > budget {
            return Err(LogError::Elements);
        }
        let tag = format!("<{name}>");
        let inner = log.get(element.clone()).unwrap_or_default();
        let again = tag.repeat(inner.matches(&tag).count().saturating_sub(1));
        log.replace_range(element, &again);
        from = match joined(&log, start).filter(|_| again.is_empty()) {
            None => start,
            Some(Joined::Opening(at)) => at,
            // It may end what had no end, wherever that begins.
            Some(Joined::Closing) => {
                endless.clear();
                0
            }
        };
    }
    Ok(log)
}

/// A tag that a cut has put together.
enum Joined {
    /// One that begins an element, and where it stands.
    Opening(usize),
    /// One that ends an element.
    Closing,
}

/// The tag that lies across a place.
fn joined(log: &str, at: usize) -> Option<Joined> {
    let start = log.get(..at)?.rfind('<')?;
    let length = log.get(at..)?.find('>')?;
    let tag = log.get(start..at + length + 1)?;
    let name = tag.strip_prefix('<')?.strip_suffix('>')?;
    let (name, found) = match name.strip_prefix('/') {
        Some(name) => (name, Joined::Closing),
        None => (name, Joined::Opening(start)),
    };
    NAME.is_match(name).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read};
    use super::*;

    #[test]
    fn dumps_are_no_failures() {
        let log = "{\n  1) in json:\n}\n<body>\n  2) in xml:\n</body>\n\n  3) core\n       color\n         mixes:\n\
                   4) flat:\n  5) back\n out:\n";
        assert_eq!(
            read("parse_log_p5js", log),
            [("core:color:mixes", "FAILED"), ("flat", "FAILED")].map(pairs)
        );
    }

    #[test]
    fn elements_within_elements_are_taken_out_from_the_first_end_on() {
        for (log, expected) in [
            ("a<x>b<x>c</x>d</x>e<y>f<z>g</z>", "ae<y>f"),
            ("<y>a<<x>b</x>z>c</z>", "<y>a"),
            ("1<y>a</<x>b</x>y>c", "1c"),
            ("<y>a<x></x>b<y>c</y>", "<y>"),
        ] {
            let left = without_elements(log.to_owned(), 1000);
            assert_eq!(left.as_deref(), Ok(expected), "{log}");
        }
    }

    #[test]
    fn a_log_of_nothing_but_elements_is_given_up() {
        let log = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
        let error = without_elements(log, 1 << 24).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the test output holds more elements within elements than can be read"
        );
    }
}
