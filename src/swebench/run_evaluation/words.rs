//! Words of upstream's command line that no parser of ours reads as upstream's does.

use std::ffi::OsString;

/// The command that they are for, by its names.
const COMMANDS: [[&str; 2]; 3] = [
    ["swebench", "run-evaluation"],
    ["swebench", "run_evaluation"],
    ["swebench", "eval"],
];

/// What upstream calls the run's name, with one dash (`run_evaluation.py` of SWE-bench 5.0.2 and
/// 4.1.0), which read by the letter would be the instance `d`; and the timeout, whose letter is not
/// that of `--timeout` elsewhere.
const FLAGS: [(&str, &str); 2] = [("-id", "--run-id"), ("-t", "--timeout")];

/// The command line with these flags written out, where it is one of `run-evaluation`.
pub(crate) fn rewritten(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let is_command = |pair: &[OsString]| COMMANDS.iter().any(|command| pair == command);
    let Some(command) = words.windows(2).position(is_command) else {
        return words;
    };
    let flags = words.iter_mut().skip(command + 2);
    for word in flags.take_while(|word| *word != "--") {
        for (short, long) in FLAGS {
            let Some(rest) = word.to_str().and_then(|text| text.strip_prefix(short)) else {
                continue;
            };
            if rest.is_empty() || rest.starts_with('=') {
                *word = format!("{long}{rest}").into();
                break;
            }
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
            line("ohoci swebench eval verified -t 60 -id a"),
            "ohoci swebench eval verified --timeout 60 --run-id a"
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
