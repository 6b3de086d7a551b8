//! Test runners of projects in Ruby.
//!
//! Source: SWE-bench 5.0.2, `swebench/harness/log_parsers/ruby.py`.

use super::lines::each;
use super::status::{Status, StatusMap};
use crate::pattern::Pattern;

static MINITEST: Pattern = Pattern::new(r"^(?<test>.+)\. .*=.*(?<status>\.|F|E).*$");

static CUCUMBER: Pattern = Pattern::new(r"^(?<test>.*) \.+(?<status>\.|F)");

/// The end of a word, behind a letter: the end of the line, or what Python's `\w` does not take.
static UNIT: Pattern = Pattern::new(
    r"^(?:test: )?(?<test>.+):[\s\x1c-\x1f]+(?:(?<status>\.)|(?<letter>[EFO])(?:$|[^\p{L}\p{N}_]))",
);

static RSPEC: Pattern = Pattern::new(r"^(?<test>.+) - (?<status>passed|failed)");

/// `parse_log_minitest`: `Class#test = 0.00 s = .`, of its verbose form.
pub(super) fn minitest(log: &str) -> StatusMap {
    each(log, &MINITEST, dot_or_letter)
}

/// `parse_log_cucumber`: `feature ....F`, of `--format progress`.
pub(super) fn cucumber(log: &str) -> StatusMap {
    each(log, &CUCUMBER, dot_or_letter)
}

fn dot_or_letter(word: &str) -> Option<Status> {
    Some(match word {
        "." => Status::Passed,
        _ => Status::Failed,
    })
}

/// `parse_log_ruby_unit`: `test: name: .: (0.1)`, of test-unit's verbose form.
pub(super) fn unit(log: &str) -> StatusMap {
    let mut found = StatusMap::default();
    let Some(pattern) = UNIT.get() else {
        return found;
    };
    for line in log.split('\n') {
        let Some(groups) = pattern.captures(crate::python_text::strip(line)) else {
            continue;
        };
        let status = match groups.name("letter").map(|letter| letter.as_str()) {
            None => Status::Passed,
            Some("O") => Status::Skipped,
            Some(_) => Status::Failed,
        };
        if let Some(test) = groups.name("test") {
            found.insert(test.as_str(), status);
        }
    }
    found
}

/// `parse_log_rspec_transformed_json`: `name - passed`, which the evaluation script makes of RSpec's
/// JSON.
pub(super) fn rspec(log: &str) -> StatusMap {
    each(log, &RSPEC, |word| {
        Some(match word {
            "passed" => Status::Passed,
            _ => Status::Failed,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pairs, read_of};

    #[test]
    fn each_runner_is_read() {
        for (parser, instance, log, expected) in [
            (
                "parse_log_minitest",
                "a__b-1",
                "TestA#test_it. x = 0.01 s = .\n",
                ("TestA#test_it", "PASSED"),
            ),
            (
                "parse_log_jekyll",
                "jekyll__jekyll-9141",
                "TestA#test_it. 0.01 s = F\n",
                ("TestA#test_it", "FAILED"),
            ),
            (
                "parse_log_jekyll",
                "jekyll__jekyll-8761",
                "features/a.feature ....F\n",
                ("features/a.feature", "FAILED"),
            ),
            (
                "parse_log_ruby_unit",
                "a__b-1",
                "  test: adds[x]:\t.: (0.1)\n",
                ("adds[x]", "PASSED"),
            ),
            (
                "parse_log_ruby_unit",
                "a__b-1",
                "waits: O: (0.1)\nnever: Fine\n",
                ("waits", "SKIPPED"),
            ),
            (
                "parse_log_rspec_transformed_json",
                "a__b-1",
                "a - b - failed\nc - pending\n",
                ("a - b", "FAILED"),
            ),
        ] {
            assert_eq!(
                read_of(parser, instance, "1", log),
                [pairs(expected)],
                "{log}"
            );
        }
    }
}
