//! PHPUnit with `--testdox`.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/php.py`.

use super::LogError;
use super::status::{Status, StatusMap};
use crate::pattern::Pattern;

static SUITE: Pattern = Pattern::new(r"^(?<suite>[\p{L}\p{N}_].+) \(.+\)$");

static TEST: Pattern = Pattern::new(r"^[\s\x1c-\x1f]*(?<status>[✔✘↩])[\s\x1c-\x1f]*(?<test>.*)$");

/// `parse_log_phpunit`: a suite with its class in brackets, then its tests with a mark each. Tests
/// before the first suite belong to `None`.
pub(super) fn phpunit(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let mut suite = "None";
    for line in log.split('\n') {
        let group = |pattern: &Pattern, name: &str| -> Option<&str> {
            let groups = pattern.get()?.captures(line)?;
            groups.name(name).map(|group| group.as_str())
        };
        if let Some(name) = group(&SUITE, "suite") {
            suite = name;
        } else if let (Some(mark), Some(test)) = (group(&TEST, "status"), group(&TEST, "test")) {
            let status = match mark {
                "✔" => Status::Passed,
                "✘" => Status::Failed,
                _ => Status::Skipped,
            };
            found.add(format!("{suite} > {test}"), status)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read};

    #[test]
    fn tests_belong_to_the_suite_above_them() {
        let log = " ✔ early\nFormat (Tests\\Format)\n ✔ It adds\n ✘ It fails\n ↩ It waits\n";
        assert_eq!(
            read("parse_log_phpunit", log),
            [
                ("None > early", "PASSED"),
                ("Format > It adds", "PASSED"),
                ("Format > It fails", "FAILED"),
                ("Format > It waits", "SKIPPED"),
            ]
            .map(pairs)
        );
    }
}
