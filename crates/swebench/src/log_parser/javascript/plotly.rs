//! The tree that Plotly's tests draw.

use super::super::LogError;
use super::super::status::{Status, StatusMap};
use crate::pattern::Pattern;

static SUITE: Pattern =
    Pattern::new(r"^(?<indent>[\s\x1c-\x1f]+)-[\s\x1c-\x1f]+(?<name>.*?)[\s\x1c-\x1f]+:");

static TEST: Pattern = Pattern::new(
    r"^(?<indent>[\s\x1c-\x1f]+)\*[\s\x1c-\x1f]+(?<name>.*?)[\s\x1c-\x1f]+:[\s\x1c-\x1f]*(?<status>.*)",
);

/// `parse_plotly_js`: `- suite :` and `* test : ok`, each indented by its depth. As upstream's does, a
/// line that is not further in than the last suite closes every suite.
pub(in super::super) fn plotly(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let (Some(suite), Some(test)) = (SUITE.get(), TEST.get()) else {
        return Ok(found);
    };
    let mut suites: Vec<&str> = Vec::new();
    let mut depth = 0;
    for line in log.split('\n') {
        let Some(groups) = suite.captures(line).or_else(|| test.captures(line)) else {
            continue;
        };
        let text = |name| groups.name(name).map_or("", |group| group.as_str());
        let indent = text("indent").chars().count();
        if indent <= depth {
            suites.clear();
        }
        suites.push(text("name"));
        if groups.name("status").is_none() {
            depth = indent;
            continue;
        }
        let name = suites.join(".");
        suites.pop();
        let said = text("status").to_lowercase();
        let status = match said.contains("ok") && !said.contains("failed") {
            true => Status::Passed,
            false => Status::Failed,
        };
        found.add(name, status)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_belong_to_the_suites_further_out() {
        let log = "  - axes :\n    - ticks :\n      * one : ok\n      * two : failed\n  - other :\n    * three : ok (skipped)\n";
        let found = plotly(log).unwrap();
        let found: Vec<_> = found.iter().map(|(test, s)| (test, s.word())).collect();
        assert_eq!(
            found,
            [
                ("axes.ticks.one", "PASSED"),
                ("axes.ticks.two", "FAILED"),
                ("other.three", "PASSED")
            ]
        );
    }
}
