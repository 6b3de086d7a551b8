//! Runs credential helpers: `docker-credential-NAME get|store|erase`.
//!
//! The protocol is that of docker-credential-helpers: what is asked for on standard input, the
//! answer on standard output, and so is the message when it fails.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::files::{Asked, TOKEN_USER, basic};
use super::locations::Location;
use super::redact::redact;
use crate::cloud;
use crate::{Credential, CredentialError, Secret};
use ohoci_config::Environment;
use ohoci_config::environment::PATH;

/// How long a helper may take, unless told otherwise. Some ask a person.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Most that a helper may say on either stream, in bytes.
const MAX_OUTPUT: u64 = 1 << 20;

/// What all helpers say when they do not have what they are asked for.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// A helper, and who wants it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Helper {
    /// What stands behind `docker-credential-` in the program's name.
    pub(super) name: String,
    /// The location and the setting that name it, for messages.
    pub(super) named_by: String,
}

impl Helper {
    /// The helper that a location wants asked.
    pub(super) fn of(location: &Location, asked: &Asked) -> Self {
        Self {
            name: asked.helper.clone(),
            named_by: format!("`{}` in {location}", asked.setting),
        }
    }
}

impl fmt::Display for Helper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "docker-credential-{}", self.name)
    }
}

/// Runs helpers, each question once.
pub(super) struct Helpers {
    environment: Environment,
    time_limit: Duration,
    answers: Mutex<HashMap<Question, Arc<OnceCell<Answer>>>>,
}

/// The helper's name and the server that it is asked for.
type Question = (String, String);

type Answer = Result<Option<Credential>, CredentialError>;

/// What helpers answer to `get` and take for `store`.
#[derive(Deserialize)]
struct Record {
    #[serde(rename = "Username", default)]
    username: String,
    #[serde(rename = "Secret", default)]
    secret: String,
}

impl Helpers {
    pub(super) fn new(environment: Environment, time_limit: Duration) -> Self {
        Self {
            environment,
            time_limit,
            answers: Mutex::default(),
        }
    }

    /// Asks a helper for the credential of a server. The same question is asked once, however
    /// many ask it at once and whatever came of it: helpers are slow, and some ask a person.
    ///
    /// # Errors
    /// When the helper cannot be run, fails, takes too long, or says nothing that makes sense.
    pub(super) async fn get(&self, helper: &Helper, server: &str) -> Answer {
        let cell = {
            let mut answers = self.answers.lock();
            let question = (helper.name.clone(), server.to_owned());
            Arc::clone(answers.entry(question).or_default())
        };
        let ask = async {
            let answer = self.ask(helper, server).await;
            answer.map_err(CredentialError::by_helper)
        };
        cell.get_or_init(|| ask).await.clone()
    }

    async fn ask(&self, helper: &Helper, server: &str) -> Answer {
        let output = self.run(helper, "get", server, server.as_bytes()).await?;
        if !output.status.success() {
            return if output.stdout.trim() == NOT_FOUND || output.stderr.trim() == NOT_FOUND {
                Ok(None)
            } else {
                Err(output.failure(helper, "get", server, None))
            };
        }
        let record: Record = serde_json::from_str(&output.stdout).map_err(|_| {
            CredentialError::new(format!(
                "{helper} did not answer with a credential for {server}"
            ))
            .hinted(format!(
                "{} names it; try `echo {server} | {helper} get`",
                helper.named_by
            ))
        })?;
        Ok(basic(record.username, record.secret.into()))
    }

    /// Has a helper keep a credential.
    ///
    /// # Errors
    /// When the helper cannot be run, fails or takes too long.
    pub(super) async fn store(
        &self,
        helper: &Helper,
        server: &str,
        username: &str,
        secret: &Secret,
    ) -> Result<(), CredentialError> {
        let record = serde_json::json!({
            "ServerURL": server, "Username": username, "Secret": secret.expose(),
        });
        let output = (self.run(helper, "store", server, record.to_string().as_bytes())).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(output.failure(helper, "store", server, Some(secret)))
    }

    /// Has a helper forget a credential.
    ///
    /// # Errors
    /// When the helper cannot be run, fails or takes too long.
    pub(super) async fn erase(&self, helper: &Helper, server: &str) -> Result<(), CredentialError> {
        let output = (self.run(helper, "erase", server, server.as_bytes())).await?;
        if output.status.success() || output.stdout.trim() == NOT_FOUND {
            return Ok(());
        }
        Err(output.failure(helper, "erase", server, None))
    }

    async fn run(
        &self,
        helper: &Helper,
        verb: &str,
        server: &str,
        input: &[u8],
    ) -> Result<Output, CredentialError> {
        let program = self.find(helper, server)?;
        let fail = |why: &dyn fmt::Display| {
            CredentialError::new(format!("cannot run {helper} {verb} for {server}: {why}"))
        };
        let mut child = Command::new(program)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| fail(&error))?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A helper that needs no input may be gone already.
                    let _ = stdin.write_all(input).await;
                }
            };
            let ((), stdout, stderr) = tokio::join!(write, read(stdout), read(stderr));
            let (stdout, stderr) = (stdout?, stderr?);
            let status = child.wait().await?;
            Ok::<_, std::io::Error>(Output {
                status,
                stdout,
                stderr,
            })
        };
        match tokio::time::timeout(self.time_limit, talk).await {
            Ok(output) => output.map_err(|error| fail(&error)),
            Err(_) => Err(CredentialError::new(format!(
                "{helper} {verb} for {server} took longer than {:?}",
                self.time_limit
            ))
            .hinted(format!(
                "{} names it; does it wait for an answer on a screen out of sight?",
                helper.named_by
            ))),
        }
    }

    /// Finds the program on `PATH`. Relative entries are passed over: what lies in the working
    /// directory must not be given passwords.
    fn find(&self, helper: &Helper, server: &str) -> Result<PathBuf, CredentialError> {
        let fail = |why: &str| {
            CredentialError::new(format!(
                "{} wants {helper} asked for the credential of {server}, {why}",
                helper.named_by
            ))
        };
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
        if !helper.name.chars().all(sound) {
            return Err(fail("which is no name of a program"));
        }
        let path = self.environment.get(PATH).unwrap_or_default();
        std::env::split_paths(&path)
            .filter(|directory| directory.is_absolute())
            .map(|directory| directory.join(helper.to_string()))
            .find(|file| {
                fs_err::metadata(file)
                    .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
            })
            .ok_or_else(|| {
                let from = cloud::helper(&helper.name).map(|from| format!(" ({from})"));
                fail("which is not on the PATH").hinted(format!(
                    "install it{}, or take it out of {}",
                    from.unwrap_or_default(),
                    helper.named_by
                ))
            })
    }
}

impl fmt::Debug for Helpers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Helpers")
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}

struct Output {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

impl Output {
    /// Quotes what a helper that failed said, without anything that may be a secret.
    fn failure(
        &self,
        helper: &Helper,
        verb: &str,
        server: &str,
        secret: Option<&Secret>,
    ) -> CredentialError {
        let said = [&self.stderr, &self.stdout]
            .map(|text| redact(text, secret))
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| "it says nothing".to_owned());
        CredentialError::new(format!(
            "{helper} {verb} for {server} failed ({}): {said}",
            self.status
        ))
        .hinted(format!("{} names it", helper.named_by))
    }
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > MAX_OUTPUT {
        return Err(std::io::Error::other("it says more than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The name that goes with a credential in the helper protocol, and its secret.
pub(super) fn as_record(credential: &Credential) -> Option<(&str, &Secret)> {
    match credential {
        Credential::Basic { username, password } => Some((username, password)),
        Credential::IdentityToken(token) => Some((TOKEN_USER, token)),
        Credential::Anonymous | Credential::RegistryToken(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{FAILING, Machine, user};
    use super::*;

    fn helper(name: &str) -> Helper {
        Helper {
            name: name.to_owned(),
            named_by: "`credsStore` in config.json".to_owned(),
        }
    }

    async fn get(machine: &Machine, name: &str) -> Answer {
        Helpers::new(machine.environment(), TIME_LIMIT)
            .get(&helper(name), "registry.example")
            .await
    }

    #[tokio::test]
    async fn answers_are_understood() {
        for (script, wanted) in [
            (
                r#"echo '{"ServerURL":"x","Username":"me","Secret":"a\"b:c","More":1}'"#,
                Some(user("me", "a\"b:c")),
            ),
            (
                r#"echo '{"Username":"<token>","Secret":"refresh"}'"#,
                Some(Credential::IdentityToken("refresh".into())),
            ),
            (r#"echo '{"Username":"","Secret":""}'"#, None),
            (
                "echo credentials not found in native keychain; exit 1",
                None,
            ),
            (
                "echo credentials not found in native keychain >&2; exit 1",
                None,
            ),
        ] {
            let machine = Machine::new().helper("x", script);
            assert_eq!(get(&machine, "x").await, Ok(wanted), "{script}");
        }
    }

    #[tokio::test]
    async fn a_helper_that_does_not_read_its_input_is_heard() {
        let machine = Machine::new();
        let source = machine.path("deaf");
        fs_err::write(
            &source,
            "#!/bin/sh\necho '{\"Username\":\"me\",\"Secret\":\"s\"}'\n",
        )
        .unwrap();
        let status = std::process::Command::new("install")
            .args(["-m", "755"])
            .arg(&source)
            .arg(machine.path("bin/docker-credential-deaf"))
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(get(&machine, "deaf").await, Ok(Some(user("me", "s"))));
    }

    #[tokio::test]
    async fn what_a_failing_helper_says_is_quoted_without_secrets() {
        for (script, shown, hidden) in [
            (FAILING, "the keyring is locked", "\0"),
            (
                "echo on the other stream; exit 3",
                "on the other stream",
                "\0",
            ),
            (
                "echo token eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0 expired >&2; exit 1",
                "token (redacted) expired",
                "eyJ",
            ),
            (
                r#"echo '{"Username":"me","Secret":"hunter2"}'; exit 1"#,
                "(redacted)",
                "hunter2",
            ),
            ("exit 1", "it says nothing", "\0"),
        ] {
            let machine = Machine::new().helper("x", script);
            let error = get(&machine, "x").await.unwrap_err().to_string();
            assert!(
                error.contains(shown) && error.contains("registry.example"),
                "{error}"
            );
            assert!(!error.contains(hidden), "{error}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_not_quoted() {
        let machine = Machine::new().helper("x", "echo hunter2");
        let error = get(&machine, "x").await.unwrap_err().to_string();
        assert!(
            error.contains("did not answer with a credential"),
            "{error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_helper_that_hangs_is_killed() {
        let machine = Machine::new().helper("x", "echo $$ > \"$KEPT/pid\"; exec sleep 600");
        let helpers = Helpers::new(machine.environment(), Duration::from_secs(2));
        let error = helpers
            .get(&helper("x"), "registry.example")
            .await
            .unwrap_err();
        assert!(error.why().contains("took longer than 2s"), "{error}");
        assert!(error.hint().unwrap().contains("config.json"), "{error:?}");
        let about = format!("/proc/{}/stat", machine.read("kept/pid").trim());
        // Dead, or a zombie until the runtime collects it.
        for _ in 0..500 {
            match fs_err::read_to_string(&about) {
                Ok(text) if !text.contains(") Z ") => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                _ => return,
            }
        }
        panic!("it runs on");
    }

    #[tokio::test]
    async fn a_helper_that_never_stops_talking_is_cut_off() {
        let machine = Machine::new().helper("x", "exec yes");
        let error = get(&machine, "x").await.unwrap_err().to_string();
        assert!(error.contains("more than 1 MiB"), "{error}");
    }

    #[tokio::test]
    async fn only_programs_on_the_path_are_run() {
        let machine = Machine::new();
        for (name, why) in [
            ("none", "not on the PATH"),
            ("../none", "no name of a program"),
            ("a b", "no name of a program"),
        ] {
            let error = get(&machine, name).await.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(error.contains("config.json"), "{error}");
        }
        let relative = Environment::of([(PATH, ".:bin".into())]);
        let error = Helpers::new(relative, TIME_LIMIT)
            .get(&helper("x"), "registry.example")
            .await
            .unwrap_err();
        assert!(error.why().contains("not on the PATH"), "{error}");
    }

    #[tokio::test]
    async fn a_secret_that_could_not_be_kept_is_not_quoted() {
        let machine = Machine::new().helper("x", "echo \"cannot keep $input hunter2\" >&2; exit 1");
        let error = Helpers::new(machine.environment(), TIME_LIMIT)
            .store(&helper("x"), "registry.example", "me", &"hunter2".into())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("cannot keep"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
