//! Formats in which a line tells of one test and of nothing else.

use super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::strip;

/// Reads the lines, without white space at their ends, that match a pattern with the groups `status`
/// and `test`. A word that is no status leaves the line out.
pub(super) fn each(
    log: &str,
    pattern: &Pattern,
    status: impl Fn(&str) -> Option<Status>,
) -> StatusMap {
    let mut found = StatusMap::default();
    for (word, test) in matches(log, pattern) {
        if let Some(status) = status(word) {
            found.insert(test, status);
        }
    }
    found
}

/// The groups `status` and `test` of each line that matches.
pub(super) fn matches<'a>(
    log: &'a str,
    pattern: &Pattern,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let pattern = pattern.get();
    log.split('\n').filter_map(move |line| {
        let groups = pattern?.captures(strip(line))?;
        Some((
            groups.name("status")?.as_str(),
            groups.name("test")?.as_str(),
        ))
    })
}
