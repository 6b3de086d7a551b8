//! Logs whose suites are told by indentation: each test's name holds those of the suites around it.

use super::super::LogError;
use super::super::status::{Status, StatusMap};
use crate::pattern::Pattern;
use crate::python_text::{is_space, strip};

/// The suites that are open, outermost first, each with its indentation in characters.
#[derive(Default)]
struct Suites<'a>(Vec<(&'a str, usize)>);

impl<'a> Suites<'a> {
    /// A line that is no test: indented, it opens a suite, and closes those that are not further out.
    fn see(&mut self, line: &'a str) {
        let indent = line.chars().take_while(|c| is_space(*c)).count();
        if indent == 0 {
            return;
        }
        while self.0.last().is_some_and(|(_, open)| *open >= indent) {
            self.0.pop();
        }
        self.0.push((strip(line), indent));
    }

    fn names(&self) -> Vec<&'a str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }

    fn name(&self, test: &str) -> String {
        let mut names = self.names();
        names.push(test);
        names.join(" - ")
    }
}

fn group<'a>(pattern: &Pattern, line: &'a str) -> Option<&'a str> {
    let groups = pattern.get()?.captures(line)?;
    groups.get(1).map(|group| group.as_str())
}

static CALYPSO_TIMED: Pattern = Pattern::new(r"^[\s\x1c-\x1f]+[✓✕][\s\x1c-\x1f](.*)\(\d+ms\)$");
static CALYPSO: Pattern = Pattern::new(r"^[\s\x1c-\x1f]+[✓✕][\s\x1c-\x1f](.*)");
static CALYPSO_TIME: Pattern = Pattern::new(r"\(\d+ms\)");

/// `parse_log_calypso`: Jest's tests behind each traced command, until its failures or its summary.
pub(in super::super) fn calypso(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let mut suites = Suites::default();
    for run in log.split(" ./node_modules/.bin/jest ").skip(1) {
        for line in run.split('\n') {
            if line.starts_with("Test Suites") || line.starts_with("  ● ") {
                break;
            }
            let status = match strip(line).chars().next() {
                Some('✓') => Status::Passed,
                Some('✕') => Status::Failed,
                _ => {
                    suites.see(line);
                    continue;
                }
            };
            let pattern = match CALYPSO_TIME.is_match(line) {
                true => &CALYPSO_TIMED,
                false => &CALYPSO,
            };
            let test = group(pattern, line).ok_or_else(|| LogError::Line {
                text: line.to_owned(),
            })?;
            let name = [suites.names().join(" - ").as_str(), test].join(" - ");
            found.add(strip(&name), status)?;
        }
    }
    Ok(found)
}

static ESCAPES: Pattern = Pattern::new(r"\x1B(?:[@-Z\\-_]|\[[0-?]*[ -/]*[@-~])");
static ASSERTION: Pattern = Pattern::new(r"AssertionError:[\s\x1c-\x1f]+#(?s:.*?)\n\n");
static NEXT_FAILED: Pattern = Pattern::new(r"^.*?✗[\s\x1c-\x1f]*(.*)");
static NEXT_PASSED: Pattern = Pattern::new(r"^.*?✓[\s\x1c-\x1f]*(.*)");

/// Text without terminal escape sequences.
pub(super) fn without_escapes(text: &str) -> std::borrow::Cow<'_, str> {
    match ESCAPES.get() {
        Some(escapes) => escapes.replace_all(text, ""),
        None => text.into(),
    }
}

/// `parse_log_next` of all versions but 1.27: Karma's tests in a browser, behind each traced command.
pub(in super::super) fn next(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let log = without_escapes(log);
    let log = match ASSERTION.get() {
        Some(assertion) => assertion.replace_all(&log, ""),
        None => log,
    };
    let mut suites = Suites::default();
    for run in log.split(" xvfb-run ").skip(1) {
        let run = run
            .rsplit_once("Starting browser Chrome")
            .map_or(run, |(_, run)| run);
        for line in run.split('\n') {
            if line.starts_with("TOTAL") {
                break;
            }
            let text = strip(line);
            let noise = ["ERROR", "LOG", "WARN", "Check", "in"];
            if noise.iter().any(|word| text.starts_with(word)) {
                continue;
            }
            if let Some(test) = group(&NEXT_FAILED, line) {
                found.add(suites.name(test), Status::Failed)?;
            } else if let Some(test) = group(&NEXT_PASSED, line) {
                found.add(suites.name(test), Status::Passed)?;
            } else {
                suites.see(line);
            }
        }
    }
    Ok(found)
}

static CYPRESS_SUITE: Pattern = Pattern::new(r"Running:.*\)\n{3}[\s\x1c-\x1f]{2}(.*)\n");
static CYPRESS_FAILED: Pattern = Pattern::new(r"(?m)^[\s\x1c-\x1f]{4}\d+\)[\s\x1c-\x1f](.*)");
static CYPRESS_PASSED: Pattern = Pattern::new(r"(?m)^[\s\x1c-\x1f]{4}✓[\s\x1c-\x1f](.*)\(");

/// `parse_log_next` of version 1.27: Cypress' tests, behind the heading of their file.
pub(in super::super) fn next_cypress(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let Some(heading) = CYPRESS_SUITE.get() else {
        return Ok(found);
    };
    let mut headings = heading.captures_iter(log).peekable();
    while let Some(groups) = headings.next() {
        let end = headings
            .peek()
            .and_then(|next| next.get(0))
            .map_or(log.len(), |next| next.start());
        let (Some(whole), Some(suite)) = (groups.get(0), groups.get(1)) else {
            continue;
        };
        let tests = log.get(whole.end()..end).unwrap_or_default();
        for (pattern, status) in [
            (&CYPRESS_FAILED, Status::Failed),
            (&CYPRESS_PASSED, Status::Passed),
        ] {
            let Some(pattern) = pattern.get() else {
                continue;
            };
            for groups in pattern.captures_iter(tests) {
                if let Some(test) = groups.get(1) {
                    let name = format!("{}: {}", suite.as_str(), strip(test.as_str()));
                    found.add(name, status.clone())?;
                }
            }
        }
    }
    Ok(found)
}

static LIGHTHOUSE_RUN: Pattern =
    Pattern::new(r"running[\s\x1c-\x1f]\d+[\s\x1c-\x1f]test[\s\x1c-\x1f]files");
static LIGHTHOUSE_SUMMARY: Pattern = Pattern::new(r"\d+[\s\x1c-\x1f]passing");
static LIGHTHOUSE: [Pattern; 4] = [
    Pattern::new(r"^✔[\s\x1c-\x1f](.*)[\s\x1c-\x1f]\(\d+m+s\)"),
    Pattern::new(r"^✔[\s\x1c-\x1f](.*)"),
    Pattern::new(r"^\d+\)[\s\x1c-\x1f](.*)[\s\x1c-\x1f]\(\d+m+s\)"),
    Pattern::new(r"^\d+\)[\s\x1c-\x1f](.*)"),
];

/// `parse_log_lighthouse` of versions 9.5, 10.0 and 10.2: Mocha's tests of each run, until its summary.
pub(in super::super) fn lighthouse(log: &str) -> Result<StatusMap, LogError> {
    let mut found = StatusMap::default();
    let (Some(start), Some(summary)) = (LIGHTHOUSE_RUN.get(), LIGHTHOUSE_SUMMARY.get()) else {
        return Ok(found);
    };
    for run in start.split(log).skip(1) {
        let run = strip(summary.split(run).next().unwrap_or(run));
        let mut suites = Suites::default();
        for line in run.split('\n') {
            let test = LIGHTHOUSE
                .iter()
                .find_map(|pattern| group(pattern, strip(line)));
            let status = match strip(line).starts_with('✔') {
                true => Status::Passed,
                false => Status::Failed,
            };
            match test {
                Some(test) => found.add(suites.name(test), status)?,
                None => suites.see(line),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{pairs, read, read_of};
    use super::*;

    #[test]
    fn calypso_names_suites_and_drops_times() {
        let log = "✓ before\n+ ./node_modules/.bin/jest x\nPASS x\n  outer\n    inner\n\
                   \u{20}     ✓ adds (3ms)\n      ✕ takes\n    other\n      ✓ more\n  ● outer\n      ✓ not\n";
        assert_eq!(
            read("parse_log_calypso", log),
            [
                ("outer - inner - adds", "PASSED"),
                ("outer - inner - takes", "FAILED"),
                ("outer - other - more", "PASSED"),
            ]
            .map(pairs)
        );
        let error = calypso("x ./node_modules/.bin/jest y\n✓ bare\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the line \"✓ bare\" of the test output is not in its parser's form"
        );
    }

    #[test]
    fn next_reads_the_browsers_tests_and_cypress_in_one_version() {
        let log = "+ xvfb-run npm\nStarting browser Chrome\n\n  suite\n    \u{1b}[32m✓\u{1b}[39m one\n\
                   LOG: ✓ noise\n    ✗ two\n AssertionError: #x\n    ✓ gone\n\n    ✓ three\nTOTAL: 2\n";
        assert_eq!(
            read_of("parse_log_next", "a__b-1", "1.20", log),
            [
                ("suite - one", "PASSED"),
                ("suite - two", "FAILED"),
                ("suite - three", "PASSED")
            ]
            .map(pairs)
        );
        let log = "Running:  a.js  (1 of 2)\n\n\n  button\n    ✓ clicks (12ms)\n    1) fails\n\
                   Running: b.js (2 of 2)\n\n\n  menu\n    ✓ opens (1ms)\n";
        assert_eq!(
            read_of("parse_log_next", "a__b-1", "1.27", log),
            [
                ("button: fails", "FAILED"),
                ("button: clicks", "PASSED"),
                ("menu: opens", "PASSED")
            ]
            .map(pairs)
        );
    }

    #[test]
    fn lighthouse_begins_anew_with_each_run() {
        let log = "running 3 test files\n\n  audits\n    ✔ one (12ms)\n    1) two\n  3 passing\n    ✔ no\n\
                   running 1 test files\n  core\n    ✔ three\n";
        assert_eq!(
            read_of("parse_log_lighthouse", "a__b-1", "9.5", log),
            [("one", "PASSED"), ("two", "FAILED"), ("three", "PASSED")].map(pairs)
        );
    }

    #[test]
    fn names_that_a_log_multiplies_are_given_up() {
        let log = format!(
            "+ xvfb-run \n  {}\n{}",
            "x".repeat(1 << 20),
            (0..2000)
                .map(|n| format!("    ✓ t{n}\n"))
                .collect::<String>()
        );
        let error = next(&log).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the names of the tests in the output are longer than 256 MiB together"
        );
    }
}
