//! The flags that a command line gives, as words that say the same again.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

/// The flags of a command line of `ohoci swebench NAME`, by clap's names, each as the words that say it, but
/// for those to `skip`; nothing where it is none. `positional` names the flag of the same meaning for
/// arguments that have none.
pub(super) fn given(
    words: impl IntoIterator<Item = OsString>,
    name: &str,
    skip: &[&str],
    positional: &[(&str, &str)],
) -> Vec<(String, Vec<String>)> {
    let Some((command, matches)) = parsed(words, name) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
        if !is_given || skip.contains(&id) {
            continue;
        }
        let same = positional.iter().find(|(known, _)| *known == id);
        let Some(flag) = argument.get_long().or(same.map(|(_, flag)| *flag)) else {
            continue;
        };
        let values = matches.get_raw(id).into_iter().flatten();
        let words = match argument.get_action().takes_values() {
            false => vec![format!("--{flag}")],
            true => values
                .map(|value| format!("--{flag}={}", value.to_string_lossy()))
                .collect(),
        };
        all.push((id.to_owned(), words));
    }
    all
}

/// The command with its flags, and what a command line says of them.
pub(super) fn parsed(
    words: impl IntoIterator<Item = OsString>,
    name: &str,
) -> Option<(Command, ArgMatches)> {
    let mut command = crate::command();
    command.build();
    let matches = command.try_get_matches_from_mut(words).ok()?;
    let (_, matches) = subcommand(matches, name)?;
    let command = command
        .find_subcommand("swebench")?
        .find_subcommand(name)?
        .clone();
    Some((command, matches))
}

/// What a command line says of `ohoci swebench NAME`.
pub(super) fn subcommand(mut matches: ArgMatches, name: &str) -> Option<(String, ArgMatches)> {
    let (_, mut swebench) = matches.remove_subcommand()?;
    let found = swebench.remove_subcommand()?;
    (found.0 == name).then_some(found)
}
