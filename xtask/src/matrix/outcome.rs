//! What checks came to, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::runner::{Printed, Scenario};

/// The longest that a server may need to stop: runtimes kill after ten seconds, and the machine may be busy.
const STOP: Duration = Duration::from_secs(9);

/// What checks came to, by their names.
pub(super) type Found = BTreeMap<String, Outcome>;

/// The same by base, by its number, and scenario.
pub(super) type Results = BTreeMap<(usize, Scenario), Found>;

/// What a check came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Bad(String),
    /// Something to compare between bases.
    Value(String),
}

/// What the script of checks printed.
pub(super) fn parsed(printed: &Printed) -> Found {
    let mut found = Found::new();
    for line in printed.text.lines() {
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        match parts.as_slice() {
            ["ok", name] => found.insert((*name).to_owned(), Outcome::Good),
            ["FAIL", name, why] => {
                let name = name.trim_end_matches(':').to_owned();
                found.insert(name, Outcome::Bad((*why).to_owned()))
            }
            ["note", name, value] => {
                found.insert((*name).to_owned(), Outcome::Value((*value).to_owned()))
            }
            _ => None,
        };
    }
    if found.is_empty() {
        let last = printed.text.lines().next_back();
        let last = last.unwrap_or("it printed nothing").to_owned();
        found.insert("start".to_owned(), Outcome::Bad(last));
    }
    if let Some(stopped) = printed.stopped {
        let outcome = match stopped <= STOP {
            true => Outcome::Good,
            false => Outcome::Bad(format!("it took {:.1} s", stopped.as_secs_f64())),
        };
        found.insert("stop".to_owned(), outcome);
    }
    found
}

/// Whether the base's programs said the same with the layers as without: by its `shell` they say much.
pub(super) fn of_own_programs(with: &str, without: &str, shell: bool) -> Outcome {
    let least = if shell { 6 } else { 1 };
    if with == without && without.lines().count() >= least {
        return Outcome::Good;
    }
    let differs = with.lines().zip(without.lines()).find(|(a, b)| a != b);
    Outcome::Bad(match differs {
        Some((a, b)) => format!("with the layers {a:?}, without {b:?}"),
        None => format!(
            "{} lines with, {} without",
            with.lines().count(),
            without.lines().count()
        ),
    })
}

/// How many checks failed.
pub(super) fn bad(results: &Results) -> usize {
    let outcomes = results.values().flat_map(BTreeMap::values);
    outcomes
        .filter(|outcome| matches!(outcome, Outcome::Bad(_)))
        .count()
}

/// A row for each check, a column for each base; a cell has the scenarios, once if they do not differ.
pub(super) fn table(names: &[&str], results: &Results) -> String {
    let mut checks: Vec<&String> = results.values().flat_map(BTreeMap::keys).collect();
    checks.sort();
    checks.dedup();
    let mut text = format!(
        "| | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for check in checks {
        let cells: Vec<String> = (0..names.len())
            .map(|base| {
                let cells = Scenario::ALL.iter().map(|scenario| {
                    let found = results
                        .get(&(base, *scenario))
                        .and_then(|found| found.get(check));
                    match found {
                        Some(Outcome::Good) => "ok",
                        Some(Outcome::Bad(_)) => "FAILED",
                        Some(Outcome::Value(value)) => value,
                        None => "–",
                    }
                });
                let mut cells: Vec<&str> = cells.collect();
                cells.dedup();
                cells.join(" / ")
            })
            .collect();
        let _ = writeln!(text, "| {check} | {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, stopped: Option<u64>) -> Found {
        parsed(&Printed {
            text: text.to_owned(),
            stopped: stopped.map(Duration::from_secs),
        })
    }

    #[test]
    fn lines_become_outcomes_and_silence_is_a_failure() {
        let found = printed(
            "ok bash\nFAIL git: no helper here\nnote picture abc\nnoise\n",
            None,
        );
        assert_eq!(found["bash"], Outcome::Good);
        assert_eq!(found["git"], Outcome::Bad("no helper here".to_owned()));
        assert_eq!(found["picture"], Outcome::Value("abc".to_owned()));
        assert!(!found.contains_key("stop"));
        let found = printed("cannot start", None);
        assert!(matches!(found["start"], Outcome::Bad(_)));
    }

    #[test]
    fn a_server_that_takes_long_to_stop_fails() {
        assert_eq!(printed("ok server", Some(1))["stop"], Outcome::Good);
        let found = printed("ok server", Some(10));
        assert!(matches!(found["stop"], Outcome::Bad(_)));
    }

    #[test]
    fn programs_that_say_something_else_or_hardly_anything_fail() {
        let said = "a\nb\nc\nd\ne\nf\n";
        assert_eq!(of_own_programs(said, said, true), Outcome::Good);
        assert_eq!(of_own_programs("a\n", "a\n", false), Outcome::Good);
        for (with, without, shell) in [(said, "a\n", true), ("a\n", "a\n", true), ("", "", false)] {
            let outcome = of_own_programs(with, without, shell);
            assert!(matches!(outcome, Outcome::Bad(_)), "{with} {without}");
        }
    }

    #[test]
    fn cells_have_the_scenarios_once_where_they_agree() {
        let good = Found::from([("git".to_owned(), Outcome::Good)]);
        let results = Results::from([
            ((0, Scenario::Root), good.clone()),
            ((0, Scenario::ReadOnly), good.clone()),
            ((0, Scenario::Hostile), good.clone()),
            ((1, Scenario::Root), good),
        ]);
        assert_eq!(
            table(&["a", "b"], &results),
            "| | a | b |\n|---|---|---|\n| git | ok | ok / – |\n"
        );
    }
}
