//! Words of upstream's command line that no parser of ours reads as upstream's does.

use std::ffi::OsString;

/// The command that they are for, by its names.
const COMMANDS: [[&str; 2]; 3] = [
    ["swebench", "run-evaluation"],
    ["swebench", "run_evaluation"],
    ["swebench", "eval"],
];

/// What upstream calls the run's name, with one dash (`run_evaluation.py` of SWE-bench 5.0.2 and
/// 4.1.0). Read by the letter, it would be the instance `d`.
const SHORT: &str = "-id";
const LONG: &str = "--run-id";

/// The command line with `-id` written as `--run-id`, where it is one of `run-evaluation`.
pub(crate) fn rewritten(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let is_command = |pair: &[OsString]| COMMANDS.iter().any(|command| pair == command);
    let Some(command) = words.windows(2).position(is_command) else {
        return words;
    };
    let flags = words.iter_mut().skip(command + 2);
    for word in flags.take_while(|word| *word != "--") {
        let Some(rest) = word.to_str().and_then(|text| text.strip_prefix(SHORT)) else {
            continue;
        };
        if rest.is_empty() || rest.starts_with('=') {
            *word = format!("{LONG}{rest}").into();
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> String {
        let words = rewritten(text.split(' ').map(OsString::from));
        let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
        words.join(" ")
    }

    #[test]
    fn the_runs_name_may_have_upstreams_one_dash() {
        assert_eq!(
            line("ohoci -v swebench run-evaluation -id a -i d -idx"),
            "ohoci -v swebench run-evaluation --run-id a -i d -idx"
        );
        assert_eq!(
            line("ohoci swebench run-evaluation -id=a"),
            "ohoci swebench run-evaluation --run-id=a"
        );
        assert_eq!(
            line("ohoci swebench eval verified -id a"),
            "ohoci swebench eval verified --run-id a"
        );
    }

    #[test]
    fn other_commands_keep_their_words() {
        for text in [
            "ohoci run image -- tool -id 1",
            "ohoci swebench images -id 1",
            "ohoci swebench run-evaluation -- -id",
        ] {
            assert_eq!(line(text), text);
        }
    }
}
