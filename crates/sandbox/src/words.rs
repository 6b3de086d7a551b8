//! What can be passed on to a program: bubblewrap and the kernel take so much and no more.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use rustix::process::{Resource, getrlimit};

use super::staging::PrepareError;

/// Most words that bubblewrap takes, wherever they stand (`MAX_ARGS` in its `bubblewrap.c`).
const MOST_WORDS: usize = 9000;

/// How many of these are ours: its name, and what stands before the command.
const OWN_WORDS: usize = 16;

/// Most bytes of one argument or variable, without the zero byte behind it (execve(2)).
const MOST_BYTES: usize = (128 << 10) - 1;

/// What the kernel gives to arguments and variables together at least, and at most (execve(2)).
const LEAST_SPACE: u64 = 128 << 10;
const MOST_SPACE: u64 = 6 << 20;

/// Refuses what could not be passed on: in words of our own, because bubblewrap's would come from
/// inside and say little. `options` is how many words bubblewrap gets beside the command's.
///
/// # Errors
/// When it is too much, or something has a NUL in it.
pub(super) fn check(
    command: &[OsString],
    environment: &[(String, String)],
    options: usize,
) -> Result<(), PrepareError> {
    let refused = |what: String, why: String| PrepareError::new(what, io::Error::other(why));
    let one = |what: String, length: usize, has_nul: bool| match (length, has_nul) {
        (_, true) => Err(refused(what, "there is a NUL in it".to_owned())),
        (length, _) if length > MOST_BYTES => {
            let why = format!("it has {length} bytes, and Linux takes {MOST_BYTES} at most");
            Err(refused(what, why))
        }
        _ => Ok(()),
    };
    for (position, word) in command.iter().enumerate() {
        let bytes = word.as_bytes();
        let what = match position {
            0 => "start the program".to_owned(),
            _ => format!("pass on argument {position}, {}", start(word)),
        };
        one(what, bytes.len(), bytes.contains(&0))?;
    }
    for (name, value) in environment {
        let length = name.len().saturating_add(value.len()).saturating_add(1);
        one(
            format!("pass on the variable {name}"),
            length,
            value.contains('\0'),
        )?;
    }
    let words = options
        .saturating_add(command.len())
        .saturating_add(OWN_WORDS);
    if words > MOST_WORDS {
        let of_variables = environment.len().saturating_mul(3);
        let left = MOST_WORDS.saturating_sub(words.saturating_sub(of_variables)) / 3;
        return Err(refused(
            format!(
                "pass on {} variables and {} arguments",
                environment.len(),
                command.len()
            ),
            format!(
                "bubblewrap takes {MOST_WORDS} words, which is {left} variables beside the rest"
            ),
        ));
    }
    let variables = environment
        .iter()
        .map(|(name, value)| name.len() + value.len() + 1);
    let all = command.iter().map(|word| word.len()).chain(variables);
    // With a zero byte and a pointer each.
    let bytes: usize = all.map(|length| length.saturating_add(9)).sum();
    let stack = getrlimit(Resource::Stack).current.unwrap_or(u64::MAX);
    let space = (stack / 4).clamp(LEAST_SPACE, MOST_SPACE);
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > space) {
        return Err(PrepareError {
            hint: Some("a quarter of the limit on the stack is for them: `ulimit -s` raises it"),
            ..refused(
                "pass on arguments and variables".to_owned(),
                format!("they have {bytes} bytes together, and Linux takes {space} here"),
            )
        });
    }
    Ok(())
}

/// The first characters of a word, as it would be written in a program.
fn start(word: &OsStr) -> String {
    let text: String = word.to_string_lossy().chars().take(40).collect();
    format!("{text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(command: &[&str], environment: &[(String, String)]) -> String {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        let options = 60 + 3 * environment.len();
        match check(&command, environment, options) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_is_too_much_is_named() {
        let set = |name: &str, value: String| (name.to_owned(), value);
        let many = |count: usize| -> Vec<_> {
            (0..count)
                .map(|number| set(&format!("V{number}"), String::new()))
                .collect()
        };
        let full = "x".repeat(MOST_BYTES);
        assert_eq!(said(&["a", &full], &[set("A", "x".repeat(1000))]), "");
        assert_eq!(said(&["a"], &many(2900)), "");
        for (text, said) in [
            ("variables beside the rest", said(&["a"], &many(3100))),
            (
                "the variable BIG: it has 200004 bytes",
                said(&["a"], &[set("BIG", "x".repeat(200_000))]),
            ),
            ("argument 1, \"xxxx", said(&["a", &format!("{full}x")], &[])),
            (
                "start the program: there is a NUL in it",
                said(&["a\0b"], &[]),
            ),
            (
                "the variable N: there is a NUL in it",
                said(&["a"], &[set("N", "\0".to_owned())]),
            ),
            (
                "bytes together",
                said(&["a"], &vec![set("A", "x".repeat(100_000)); 100]),
            ),
        ] {
            assert!(said.contains(text), "{text}: {said}");
        }
    }
}
