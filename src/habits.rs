//! What people type who know docker, crane, skopeo or oras: clap's guess at what they meant is
//! replaced by what ohoci calls it.

use std::ffi::{OsStr, OsString};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of other tools, and how the same is done here.
const COMMANDS: &[(&str, &str)] = &[
    ("append", "ohoci compose --base REF --layer PATH --push REF"),
    ("auth", "ohoci login REGISTRY"),
    (
        "build",
        "ohoci compose --base REF --layer DIR:DEST --push REF; ohoci reads no Dockerfile",
    ),
    ("config", "ohoci inspect --config REF"),
    ("cp", "ohoci copy SRC DST"),
    (
        "create",
        "ohoci compose --base scratch --layer DIR --push REF",
    ),
    ("exec", "ohoci run REF CMD…"),
    ("load", "ohoci copy docker-archive:FILE REF"),
    ("manifest", "ohoci inspect --manifest REF"),
    (
        "mutate",
        "ohoci compose --base REF --env, --entrypoint, --label … --push REF",
    ),
    (
        "ps",
        "ohoci has no daemon: what it runs ends with ohoci run",
    ),
    ("pull", "ohoci copy REF oci:DIR:TAG"),
    ("push", "ohoci copy oci:DIR:TAG REF"),
    ("save", "ohoci copy REF docker-archive:FILE"),
    ("serve", "ohoci registry serve"),
    ("sync", "ohoci copy SRC DST; it copies indexes whole"),
    (
        "tag",
        "ohoci copy REF REPOSITORY:TAG; within a registry no layer moves",
    ),
    ("validate", "ohoci verify REF, ohoci check REF"),
];

/// Flags of other tools for one command, or for all of them (""), and what stands for them here.
const FLAGS: &[(&str, &str, &str)] = &[
    (
        "",
        "--insecure",
        "--plain-http HOST speaks HTTP, --skip-tls-verify HOST takes any certificate",
    ),
    (
        "",
        "--tls-verify",
        "--skip-tls-verify HOST; --plain-http HOST for HTTP",
    ),
    (
        "",
        "--src-tls-verify",
        "--skip-tls-verify HOST; --plain-http HOST for HTTP",
    ),
    (
        "",
        "--dest-tls-verify",
        "--skip-tls-verify HOST; --plain-http HOST for HTTP",
    ),
    (
        "",
        "--insecure-policy",
        "a rule in policy.json, or in [trust] of the configuration, accepts the image",
    ),
    (
        "",
        "--cert-dir",
        "--ca-file FILE; certs.d directories of Docker and containers are read as well",
    ),
    ("", "--creds", CREDENTIALS),
    ("", "--src-creds", CREDENTIALS),
    ("", "--dest-creds", CREDENTIALS),
    ("", "--debug", "--verbose shows every request"),
    ("", "--raw", "ohoci inspect --manifest REF"),
    ("", "--override-os", "--platform OS/ARCH"),
    ("", "--override-arch", "--platform OS/ARCH"),
    ("", "--override-variant", "--platform OS/ARCH/VARIANT"),
    ("login", "-p", PASSWORD),
    ("login", "--password", PASSWORD),
    ("compose", "--from", "--base REF"),
    ("compose", "--image", "--base REF"),
    ("compose", "--base-image", "--base REF"),
    ("compose", "-b", "--base REF"),
    ("compose", "-t", "--push REF"),
    ("compose", "--tag", "--push REF"),
    ("compose", "--new_tag", "--push REF"),
    (
        "compose",
        "-o",
        "--push REF; oci:DIR:TAG and docker-archive:FILE are places as well",
    ),
    (
        "compose",
        "--output",
        "--push REF; oci:DIR:TAG and docker-archive:FILE are places as well",
    ),
    (
        "compose",
        "-f",
        "ohoci reads no Dockerfile; --layer DIR:DEST, --env, --entrypoint … say what it would",
    ),
    (
        "compose",
        "--file",
        "ohoci reads no Dockerfile; --layer DIR:DEST, --env, --entrypoint … say what it would",
    ),
    (
        "compose",
        "--build-arg",
        "ohoci runs no build; --env KEY=VALUE sets the image's environment",
    ),
    ("compose", "--new_layer", "--layer PATH"),
    ("compose", "--append", "--layer PATH"),
    ("compose", "--exposed-ports", "--expose PORT"),
    (
        "copy",
        "-a",
        "leave it out: copy takes an index whole, unless there is --platform",
    ),
    (
        "copy",
        "--all",
        "leave it out: copy takes an index whole, unless there is --platform",
    ),
    (
        "copy",
        "--multi-arch",
        "leave it out: copy takes an index whole, unless there is --platform",
    ),
    (
        "copy",
        "--preserve-digests",
        "leave it out: digests stay what they are wherever the place takes them",
    ),
    (
        "run",
        "-d",
        "there is no daemon: leave it out, or let the shell run ohoci in the background",
    ),
    (
        "run",
        "--detach",
        "there is no daemon: leave it out, or let the shell run ohoci in the background",
    ),
    ("run", "--name", NAME),
    ("run", "-p", PUBLISH),
    ("run", "--publish", PUBLISH),
    ("run", "-P", PUBLISH),
    ("run", "--publish-all", PUBLISH),
    ("run", "--volume", "--mount SRC:DST[:ro]"),
];

const NAME: &str =
    "--keep NAME keeps what the program writes under a name; --hostname names the machine inside";
const PUBLISH: &str = "no port is published: with --network host what listens inside listens on this machine, on the same port";
const CREDENTIALS: &str = "ohoci login REGISTRY once, or --authfile FILE";
const PASSWORD: &str =
    "--password-stdin reads it; on a command line every user of the machine would see it";

/// How far a flag may be from what was typed to be taken for a slip of the finger.
const SLIP: usize = 2;

/// What a flag of another tool is called here.
pub(crate) fn flag(command: &str, typed: &str) -> Option<&'static str> {
    let name = typed.split('=').next().unwrap_or(typed);
    FLAGS
        .iter()
        .find(|(of, flag, _)| (of.is_empty() || *of == command) && *flag == name)
        .map(|(_, _, here)| *here)
}

/// The same error with a tip that helps, or without one that misleads: clap takes `--from` for
/// `--format`, and every unknown flag for a value that wants `--` before it.
pub(crate) fn amended(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else {
                return error;
            };
            let typed = typed.clone();
            let tip = flag(command(words), &typed);
            let guess = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(guess)) => Some(guess.clone()),
                _ => None,
            };
            if tip.is_some() || guess.is_some_and(|guess| !is_slip(&typed, &guess)) {
                error.remove(ContextKind::SuggestedArg);
                // The usage is that of the flag that was guessed.
                error.remove(ContextKind::Usage);
            }
            set_tip(&mut error, tip);
        }
        ErrorKind::InvalidSubcommand => {
            let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand)
            else {
                return error;
            };
            // Only ohoci's own commands: `deps build` is no `docker build`.
            if command(words) == typed
                && let Some((_, here)) = COMMANDS.iter().find(|(name, _)| name == typed)
            {
                error.remove(ContextKind::SuggestedSubcommand);
                set_tip(&mut error, Some(here));
            }
        }
        _ => {}
    }
    error
}

fn set_tip(error: &mut clap::Error, tip: Option<&'static str>) {
    error.remove(ContextKind::Suggested);
    if let Some(tip) = tip {
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
        error.insert(ContextKind::Suggested, tip);
    }
}

/// The first word that is no flag.
fn command(words: &[OsString]) -> &str {
    words
        .iter()
        .skip(1)
        .filter_map(|word| OsStr::to_str(word))
        .find(|word| !word.starts_with('-'))
        .unwrap_or_default()
}

/// Whether one was probably meant to be the other: a few letters differ, or one begins the other.
fn is_slip(typed: &str, meant: &str) -> bool {
    let (typed, meant) = (typed.trim_start_matches('-'), meant.trim_start_matches('-'));
    let begins = typed.len() > SLIP && meant.starts_with(typed)
        || meant.len() > SLIP && typed.starts_with(meant);
    begins || distance(typed, meant) <= SLIP
}

/// Levenshtein's distance: how many characters are to be added, removed or replaced.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut before: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut row = vec![at + 1];
        let mut left = at + 1;
        for ((d, diagonal), above) in other.iter().zip(&before).zip(before.iter().skip(1)) {
            left = (diagonal + usize::from(c != *d))
                .min(above + 1)
                .min(left + 1);
            row.push(left);
        }
        before = row;
    }
    before.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Cli;

    fn said(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&words).unwrap_err();
        amended(error, &words).to_string()
    }

    #[test]
    fn what_other_tools_call_it_is_answered_with_what_it_is_called_here() {
        for (line, tip) in [
            ("ohoci compose --from debian", "tip: --base REF\n"),
            (
                "ohoci inspect --insecure x",
                "tip: --plain-http HOST speaks HTTP",
            ),
            (
                "ohoci copy --tls-verify=false a b",
                "tip: --skip-tls-verify HOST",
            ),
            ("ohoci login -p x", "tip: --password-stdin reads it"),
            ("ohoci -v pull x", "tip: ohoci copy REF oci:DIR:TAG\n"),
        ] {
            let said = said(line);
            assert!(said.contains(tip), "{said}");
            assert_eq!(said.matches("tip:").count(), 1, "{said}");
        }
    }

    #[test]
    fn only_slips_are_guessed_at() {
        let slip = said("ohoci compose --platfrom linux/arm64");
        assert!(slip.contains("'--platform'"), "{slip}");
        for line in ["ohoci compose --usr-share x", "ohoci inspect --formula x"] {
            let said = said(line);
            assert!(!said.contains("tip:"), "{said}");
        }
        let unknown = said("ohoci compose --from x");
        assert!(!unknown.contains("--format"), "{unknown}");
        let other = said("ohoci deps build --platfrom x");
        assert!(!other.contains("Dockerfile"), "{other}");
    }

    #[test]
    fn no_tip_is_for_a_flag_or_command_that_there_is() {
        let words = |line: String| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (of, flag, _) in FLAGS {
            let of = if of.is_empty() { "inspect" } else { of };
            if of == "run" {
                continue;
            }
            let error = Cli::try_parse_from(words(format!("ohoci {of} {flag}"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{of} {flag}");
        }
        for (command, _) in COMMANDS {
            let error = Cli::try_parse_from(words(format!("ohoci {command}"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidSubcommand, "{command}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }
}
