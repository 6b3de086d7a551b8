//! The lines of the protocol: one JSON document in each, which is checked here before anything is done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ohoci_image::{Platform, Reference};
use ohoci_sandbox::{Bind, Network};
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::failure::RunFailure;

/// Longest line that is read, in bytes.
pub const LONGEST_LINE: usize = 16 << 20;

/// Longest name of a sandbox, in bytes.
const LONGEST_NAME: usize = 128;

/// How much of each stream is kept unless more is asked for, in bytes.
const OUTPUT: usize = 1 << 20;

/// Most of each stream that can be asked for, in bytes.
const MOST_OUTPUT: usize = 64 << 20;

/// What is asked for, and the mark by which its answer is known.
#[derive(Debug)]
pub struct Question {
    /// What whoever asks calls it: a number or text.
    pub id: Value,
    /// What is to be done.
    pub operation: Operation,
}

/// What can be done.
#[derive(Debug)]
pub enum Operation {
    /// Makes a sandbox of an image.
    Create(Box<Create>),
    /// Runs a program in one, to its end.
    Exec(Box<Exec>),
    /// Sends a signal to the program that runs in one.
    Kill {
        /// The sandbox.
        sandbox: String,
        /// The signal.
        signal: Signal,
    },
    /// Writes a file into one, or what a directory has.
    CopyIn {
        /// The sandbox.
        sandbox: String,
        /// Where it goes.
        path: PathBuf,
        /// What it holds.
        content: Content,
        /// A file's permissions.
        mode: Option<u32>,
    },
    /// Reads a file or a directory out of one.
    CopyOut {
        /// The sandbox.
        sandbox: String,
        /// Where it is.
        path: PathBuf,
        /// A file or a directory of this machine that it becomes; a file without one is in the answer.
        to: Option<PathBuf>,
    },
    /// Takes away what was written to one.
    Reset {
        /// The sandbox.
        sandbox: String,
    },
    /// Removes one.
    Remove {
        /// The sandbox.
        sandbox: String,
    },
    /// Lists them.
    List,
}

/// What a sandbox is to be.
#[derive(Debug)]
pub struct Create {
    /// Its name.
    pub sandbox: String,
    /// What its image is, or is composed on.
    pub from: Reference,
    /// Images whose layers are put on that; where there are some, the result is pushed nowhere.
    pub deps: Vec<Reference>,
    /// Of an index, the image for this platform.
    pub platform: Option<Platform>,
    /// Variables of all of its programs, besides the image's.
    pub environment: Vec<(String, String)>,
    /// Where they start.
    pub directory: Option<String>,
    /// Who they are.
    pub user: Option<String>,
    /// What of this machine is seen inside.
    pub mounts: Vec<Bind>,
    /// What they can reach.
    pub network: Network,
    /// What the sandbox is called inside.
    pub host_name: Option<String>,
}

/// A program that is to be run.
#[derive(Debug)]
pub struct Exec {
    /// The sandbox.
    pub sandbox: String,
    /// The program and its arguments; the image's own where there is none.
    pub command: Vec<String>,
    /// Variables besides the sandbox's.
    pub environment: Vec<(String, String)>,
    /// Where it starts, unless where the sandbox says.
    pub directory: Option<String>,
    /// Who it is, unless whom the sandbox says.
    pub user: Option<String>,
    /// What it reads.
    pub input: Vec<u8>,
    /// When it is killed.
    pub timeout: Option<Duration>,
    /// How many bytes of each of its streams are kept.
    pub output: usize,
}

/// What a file is to hold.
#[derive(Debug)]
pub enum Content {
    /// This.
    Bytes(Vec<u8>),
    /// What a file or a directory of this machine holds.
    File(PathBuf),
}

/// A line that asks for nothing that can be done.
#[derive(Debug)]
pub struct Mistake {
    /// What whoever asked called it, where that could be read.
    pub id: Value,
    /// What is wrong.
    pub failure: RunFailure,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", deny_unknown_fields)]
enum Given {
    Create {
        sandbox: String,
        image: Option<String>,
        base: Option<String>,
        #[serde(default)]
        deps: Vec<String>,
        platform: Option<String>,
        #[serde(default)]
        env: BTreeMap<String, String>,
        workdir: Option<String>,
        user: Option<String>,
        #[serde(default)]
        mounts: Vec<String>,
        #[serde(default)]
        network: GivenNetwork,
        hostname: Option<String>,
    },
    Exec {
        sandbox: String,
        #[serde(default)]
        command: Vec<String>,
        #[serde(default)]
        env: BTreeMap<String, String>,
        workdir: Option<String>,
        user: Option<String>,
        stdin: Option<String>,
        stdin_base64: Option<String>,
        timeout: Option<f64>,
        output_limit: Option<usize>,
    },
    Kill {
        sandbox: String,
        signal: Option<String>,
    },
    CopyIn {
        sandbox: String,
        path: String,
        from: Option<PathBuf>,
        content: Option<String>,
        content_base64: Option<String>,
        mode: Option<String>,
    },
    CopyOut {
        sandbox: String,
        path: String,
        to: Option<PathBuf>,
    },
    Reset {
        sandbox: String,
    },
    Remove {
        sandbox: String,
    },
    List {},
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum GivenNetwork {
    #[default]
    None,
    DeadEnd,
    Host,
}

impl Question {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is no JSON object with an `id` and an `op` that is known, or says something that cannot
    /// be.
    pub fn parse(line: &[u8]) -> Result<Self, Box<Mistake>> {
        let wrong = |id: Value, why: String| {
            let failure = RunFailure::mistake(why);
            Box::new(Mistake { id, failure })
        };
        let unknown = |why: String| wrong(Value::Null, why);
        let value: Value = serde_json::from_slice(line)
            .map_err(|error| unknown(format!("the line is no JSON document: {error}")))?;
        let Value::Object(mut fields) = value else {
            return Err(unknown("the line is no JSON object".to_owned()));
        };
        let id = match fields.remove("id") {
            Some(id @ (Value::Number(_) | Value::String(_))) => id,
            _ => return Err(unknown("`id` is neither a number nor text".to_owned())),
        };
        match operation(fields) {
            Ok(operation) => Ok(Self { id, operation }),
            Err(why) => Err(wrong(id, why)),
        }
    }
}

fn operation(fields: Map<String, Value>) -> Result<Operation, String> {
    let given: Given =
        serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    Ok(match given {
        Given::Create {
            sandbox,
            image,
            base,
            deps,
            platform,
            env,
            workdir,
            user,
            mounts,
            network,
            hostname,
        } => {
            let from = match (image, base, deps.is_empty()) {
                (Some(image), None, true) => image,
                (None, Some(base), false) => base,
                _ => return Err("either `image`, or `base` with `deps`, is needed".to_owned()),
            };
            Operation::Create(Box::new(Create {
                sandbox: name(sandbox)?,
                from: reference(&from)?,
                deps: deps
                    .iter()
                    .map(|text| reference(text))
                    .collect::<Result<_, _>>()?,
                platform: match platform {
                    Some(text) => Some(
                        text.parse()
                            .map_err(|error| format!("`platform`: {error}"))?,
                    ),
                    None => None,
                },
                environment: variables(env)?,
                directory: absolute("workdir", workdir)?,
                user,
                mounts: mounts
                    .iter()
                    .map(|text| mount(text))
                    .collect::<Result<_, _>>()?,
                network: match network {
                    GivenNetwork::None => Network::None,
                    GivenNetwork::DeadEnd => Network::DeadEnd,
                    GivenNetwork::Host => Network::Host,
                },
                host_name: hostname.map(host_name).transpose()?,
            }))
        }
        Given::Exec {
            sandbox,
            command,
            env,
            workdir,
            user,
            stdin,
            stdin_base64,
            timeout,
            output_limit,
        } => Operation::Exec(Box::new(Exec {
            sandbox: name(sandbox)?,
            command,
            environment: variables(env)?,
            directory: absolute("workdir", workdir)?,
            user,
            input: bytes("stdin", stdin, stdin_base64)?.unwrap_or_default(),
            timeout: timeout.map(seconds).transpose()?,
            output: match output_limit.unwrap_or(OUTPUT) {
                limit if limit > MOST_OUTPUT => {
                    return Err(format!("`output_limit` can be {MOST_OUTPUT} at most"));
                }
                limit => limit,
            },
        })),
        Given::Kill { sandbox, signal } => Operation::Kill {
            sandbox: name(sandbox)?,
            signal: self::signal(signal.as_deref().unwrap_or("KILL"))?,
        },
        Given::CopyIn {
            sandbox,
            path,
            from,
            content,
            content_base64,
            mode,
        } => Operation::CopyIn {
            sandbox: name(sandbox)?,
            path: path_inside(path)?,
            content: match (from, bytes("content", content, content_base64)?) {
                (Some(from), None) => Content::File(from),
                (None, Some(bytes)) => Content::Bytes(bytes),
                _ => return Err("either `from` or `content` is needed".to_owned()),
            },
            mode: mode.as_deref().map(permissions).transpose()?,
        },
        Given::CopyOut { sandbox, path, to } => Operation::CopyOut {
            sandbox: name(sandbox)?,
            path: path_inside(path)?,
            to,
        },
        Given::Reset { sandbox } => Operation::Reset {
            sandbox: name(sandbox)?,
        },
        Given::Remove { sandbox } => Operation::Remove {
            sandbox: name(sandbox)?,
        },
        Given::List {} => Operation::List,
    })
}

fn name(text: String) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(is_fine) {
        true => Ok(text),
        false => Err(format!(
            "`sandbox` is no name of up to {LONGEST_NAME} letters, digits, `.`, `_` and `-`"
        )),
    }
}

fn host_name(text: String) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match (1..=63).contains(&text.len()) && text.chars().all(is_fine) {
        true => Ok(text),
        false => Err("`hostname` is no name of up to 63 letters, digits, `.`, `-` and `_`".into()),
    }
}

fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

fn mount(text: &str) -> Result<Bind, String> {
    let bind: Bind = text
        .parse()
        .map_err(|error| format!("`mounts`: {text}: {error}"))?;
    // The kernel makes it up.
    match bind.destination.starts_with("/proc") {
        true => Err(format!("`mounts`: {text} would cover some of /proc")),
        false => Ok(bind),
    }
}

fn variables(given: BTreeMap<String, String>) -> Result<Vec<(String, String)>, String> {
    let wrong = given.keys().find(|name| !ohoci_image::env::is_name(name));
    match wrong {
        Some(name) => Err(format!("`env`: {name:?} names no variable")),
        None => Ok(given.into_iter().collect()),
    }
}

fn absolute(field: &str, path: Option<String>) -> Result<Option<String>, String> {
    match path {
        Some(path) if !path.starts_with('/') => {
            Err(format!("`{field}`: {path} does not begin with `/`"))
        }
        path => Ok(path),
    }
}

fn path_inside(path: String) -> Result<PathBuf, String> {
    match path.starts_with('/') && !path.contains('\0') {
        true => Ok(path.into()),
        false => Err("`path` does not begin with `/`, or has a NUL in it".to_owned()),
    }
}

fn permissions(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "`mode` is no octal number up to 777".to_owned())
}

fn seconds(number: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number)
        .ok()
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "`timeout` is no number of seconds above 0".to_owned())
}

fn bytes(
    field: &str,
    text: Option<String>,
    encoded: Option<String>,
) -> Result<Option<Vec<u8>>, String> {
    match (text, encoded) {
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(encoded)) => STANDARD
            .decode(encoded)
            .map(Some)
            .map_err(|error| format!("`{field}_base64`: {error}")),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(format!("`{field}` and `{field}_base64` are one too many")),
    }
}

fn signal(name: &str) -> Result<Signal, String> {
    let known = [
        ("HUP", Signal::HUP),
        ("INT", Signal::INT),
        ("QUIT", Signal::QUIT),
        ("KILL", Signal::KILL),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
        ("TERM", Signal::TERM),
        ("STOP", Signal::STOP),
        ("CONT", Signal::CONT),
    ];
    let short = name.strip_prefix("SIG").unwrap_or(name);
    known
        .iter()
        .find(|(known, _)| *known == short)
        .map(|(_, signal)| *signal)
        .ok_or_else(|| format!("`signal`: {name:?} is not known"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(line: &str) -> (Value, String) {
        match Question::parse(line.as_bytes()) {
            Ok(question) => (question.id, String::new()),
            Err(mistake) => (mistake.id, mistake.failure.what().to_owned()),
        }
    }

    #[test]
    fn what_can_be_done_is_read() {
        for line in [
            r#"{"id":1,"op":"create","sandbox":"a","image":"oci:x"}"#,
            r#"{"id":1,"op":"create","sandbox":"a","base":"oci:x","deps":["oci:y"],"network":"dead-end"}"#,
            r#"{"id":1,"op":"exec","sandbox":"a","command":["true"],"timeout":0.5,"stdin":"x"}"#,
            r#"{"id":1,"op":"kill","sandbox":"a","signal":"SIGTERM"}"#,
            r#"{"id":1,"op":"copy-in","sandbox":"a","path":"/x","content_base64":"AP8=","mode":"755"}"#,
            r#"{"id":1,"op":"copy-out","sandbox":"a","path":"/x"}"#,
            r#"{"id":1,"op":"reset","sandbox":"a"}"#,
            r#"{"id":1,"op":"remove","sandbox":"a"}"#,
            r#"{"id":1,"op":"list"}"#,
        ] {
            assert_eq!(said(line), (json!(1), String::new()), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_named_with_whose_it_is() {
        for (line, id, text) in [
            ("", Value::Null, "no JSON"),
            ("{", Value::Null, "no JSON"),
            ("[]", Value::Null, "no JSON object"),
            (r#"{"op":"list"}"#, Value::Null, "`id`"),
            (r#"{"id":{},"op":"list"}"#, Value::Null, "`id`"),
            (r#"{"id":"q"}"#, json!("q"), "op"),
            (r#"{"id":1,"op":"explode"}"#, json!(1), "explode"),
            (r#"{"id":1,"op":"list","x":1}"#, json!(1), "x"),
            (
                r#"{"id":1,"op":"create","sandbox":"a"}"#,
                json!(1),
                "`image`",
            ),
            (
                r#"{"id":1,"op":"create","sandbox":"../a","image":"x"}"#,
                json!(1),
                "`sandbox`",
            ),
            (
                r#"{"id":1,"op":"exec","sandbox":"a","timeout":-1}"#,
                json!(1),
                "`timeout`",
            ),
            (
                r#"{"id":1,"op":"exec","sandbox":"a","env":{"a=b":""}}"#,
                json!(1),
                "`env`",
            ),
            (
                r#"{"id":1,"op":"exec","sandbox":"a","output_limit":999999999}"#,
                json!(1),
                "`output_limit`",
            ),
            (
                r#"{"id":1,"op":"exec","sandbox":"a","stdin":"","stdin_base64":""}"#,
                json!(1),
                "one too many",
            ),
            (
                r#"{"id":1,"op":"copy-in","sandbox":"a","path":"x","content":""}"#,
                json!(1),
                "`path`",
            ),
            (
                r#"{"id":1,"op":"copy-in","sandbox":"a","path":"/x","content":"","mode":"4755"}"#,
                json!(1),
                "`mode`",
            ),
            (
                r#"{"id":1,"op":"copy-in","sandbox":"a","path":"/x"}"#,
                json!(1),
                "`from`",
            ),
            (
                r#"{"id":1,"op":"kill","sandbox":"a","signal":"NONE"}"#,
                json!(1),
                "NONE",
            ),
        ] {
            let (found, why) = said(line);
            assert_eq!(found, id, "{line}");
            assert!(why.contains(text), "{line}: {why}");
        }
    }
}
