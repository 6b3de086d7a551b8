//! Lines of pytest's short summary, where parameters are paths that differ between machines.

use super::pytest::summary;
use super::status::StatusMap;

pub(super) fn parse(log: &str) -> StatusMap {
    summary(log.split('\n'), name)
}

/// The test with an absolute path in its brackets cut to the last part; what stands behind the
/// brackets is dropped.
fn name(test: &str) -> String {
    let Some((main, (option, _))) = test
        .split_once('[')
        .and_then(|(main, rest)| Some((main, rest.rsplit_once(']')?)))
    else {
        return test.to_owned();
    };
    let is_path = option.starts_with('/') && !option.starts_with("//") && !option.contains('*');
    match option.rsplit_once('/') {
        Some((_, last)) if is_path => format!("{main}[/{last}]"),
        _ => format!("{main}[{option}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_are_cut() {
        for (test, expected) in [
            ("t::a[/tmp/x/file.txt]", "t::a[/file.txt]"),
            ("t::a[//tmp/x]", "t::a[//tmp/x]"),
            ("t::a[/tmp/*.txt]", "t::a[/tmp/*.txt]"),
            ("t::a[x/y]", "t::a[x/y]"),
            ("t::a[b]c]d", "t::a[b]c]"),
            ("t::a[b", "t::a[b"),
            ("t::a]b[", "t::a]b["),
        ] {
            assert_eq!(name(test), expected);
        }
    }
}
