//! Ways to run a program in an image that is known: ohoci's, and those of other tools that start here.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::tools::at_home;
use crate::command::find;

/// What each of them runs: the first byte that it writes is its first instruction, as far as anything
/// outside can tell.
pub(super) const PROGRAM: [&str; 2] = ["/bin/echo", "begun"];

/// A way to run [`PROGRAM`].
pub(super) struct Way {
    pub(super) name: String,
    command: Box<dyn Fn() -> Command>,
}

/// How long one took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    /// Until its first byte came.
    pub(super) begun: Duration,
    /// Until everything was over.
    pub(super) ended: Duration,
}

impl Way {
    pub(super) fn new(name: impl Into<String>, command: impl Fn() -> Command + 'static) -> Self {
        Self {
            name: name.into(),
            command: Box::new(command),
        }
    }

    /// Runs it once.
    pub(super) fn run(&self) -> Result<Ran> {
        let mut command = (self.command)();
        let errors = tempfile::tempfile()?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?);
        let started = Instant::now();
        let mut child = command.spawn()?;
        let mut said = child.stdout.take().context("no output")?;
        let mut first = [0; 1];
        let count = said.read(&mut first)?;
        let begun = started.elapsed();
        let mut rest = String::new();
        said.read_to_string(&mut rest)?;
        let status = child.wait()?;
        let ended = started.elapsed();
        if count == 0 || !status.success() {
            let mut why = String::new();
            let mut errors = errors;
            std::io::Seek::rewind(&mut errors)?;
            errors.read_to_string(&mut why)?;
            let why = why.lines().last().unwrap_or("it says nothing").to_owned();
            bail!("{status}: {why}");
        }
        Ok(Ran { begun, ended })
    }
}

/// The ways of other tools on a root file system that was unpacked before, without podman; and those that
/// are not installed.
pub(super) fn on_unpacked(root: &Path, work: &Path) -> Result<(Vec<Way>, Vec<&'static str>)> {
    let mut ways = Vec::new();
    let mut missing = Vec::new();
    for name in ["proc", "dev"] {
        fs_err::create_dir_all(root.join(name))?;
    }
    match find("bwrap") {
        Some(bwrap) => {
            let root = root.to_owned();
            ways.push(Way::new("bwrap on an unpacked root", move || {
                let mut command = Command::new(&bwrap);
                command.args(["--unshare-all", "--bind"]).arg(&root);
                command.args(["/", "--proc", "/proc", "--dev", "/dev"]);
                command.args(PROGRAM);
                command
            }));
        }
        None => missing.push("bwrap"),
    }
    let own = root.to_owned();
    ways.push(Way::new(
        "unshare + chroot on an unpacked root",
        move || {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork"]);
            command.arg("chroot").arg(&own).args(PROGRAM);
            command
        },
    ));
    for runtime in ["crun", "runc"] {
        let Some(program) = find(runtime) else {
            missing.push(runtime);
            continue;
        };
        let bundle = work.join(format!("{runtime}-bundle"));
        make_bundle(&bundle, root)?;
        let state = work.join(format!("{runtime}-state"));
        let name = format!("{runtime} run on an unpacked bundle");
        ways.push(Way::new(name, move || {
            let mut command = Command::new(&program);
            command.arg("--root").arg(&state);
            command.args(["run", "--bundle"]).arg(&bundle).arg("bench");
            command
        }));
    }
    Ok((ways, missing))
}

pub(super) fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs_err::metadata("/proc/self")?.uid() == 0)
}

/// A bundle as the runtime specification has it, on a root file system that is there.
fn make_bundle(bundle: &Path, root: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    fs_err::create_dir_all(bundle)?;
    let mut namespaces = vec!["mount", "pid", "ipc", "uts", "network"];
    let as_root = is_root()?;
    if !as_root {
        namespaces.push("user");
    }
    let namespaces: Vec<_> = namespaces
        .into_iter()
        .map(|kind| json!({"type": kind}))
        .collect();
    let mut linux = json!({"namespaces": namespaces});
    if !as_root {
        let own = fs_err::metadata("/proc/self")?;
        linux["uidMappings"] = json!([{"containerID": 0, "hostID": own.uid(), "size": 1}]);
        linux["gidMappings"] = json!([{"containerID": 0, "hostID": own.gid(), "size": 1}]);
    }
    let config = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": PROGRAM,
            "env": ["PATH=/bin"],
            "cwd": "/",
        },
        "root": {"path": root, "readonly": false},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": linux,
    });
    let file = bundle.join("config.json");
    Ok(fs_err::write(file, config.to_string())?)
}

/// What a harness keeps running, and asks for sandboxes.
pub(super) struct Steered {
    pub(super) name: &'static str,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// How long the steps of a sandbox took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steps {
    /// Until a program had run in a new one.
    pub(super) ran: Duration,
    /// Until it was as at its beginning.
    pub(super) reset: Duration,
}

/// Answers each line with the milliseconds of both steps.
const NITROBOX: &str = r#"
import json, sys, time
from nitrobox import Sandbox, SandboxConfig
print(json.dumps({"ok": True}), flush=True)
for line in sys.stdin:
    root = json.loads(line)["image"]
    start = time.perf_counter()
    sandbox = Sandbox(SandboxConfig(image=root, working_dir="/"))
    said = sandbox.run("/bin/echo begun")
    ran = time.perf_counter()
    sandbox.reset()
    reset = time.perf_counter()
    sandbox.delete()
    ok = said[1] == 0 and said[0].strip() == "begun"
    print(json.dumps({"ok": ok, "ran": ran - start, "reset": reset - ran}), flush=True)
"#;

impl Steered {
    fn start(name: &'static str, mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let questions = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut steered = Self {
            name,
            child,
            questions,
            answers,
        };
        // Both say a line when they are ready.
        steered.answer()?;
        Ok(steered)
    }

    pub(super) fn ohoci(mut command: Command) -> Result<Self> {
        command.arg("sandboxes");
        Self::start("ohoci sandboxes", command)
    }

    pub(super) fn nitrobox(python: &Path, work: &Path) -> Result<Self> {
        let mut command = at_home(python, work);
        command.args(["-c", NITROBOX]);
        Self::start("nitrobox", command)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("{} has ended: {}", self.name, self.child.wait()?);
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, question: &Value) -> Result<Value> {
        writeln!(self.questions, "{question}")?;
        let answer = self.answer()?;
        match answer["ok"] == true {
            true => Ok(answer),
            false => bail!("{} answers {answer}", self.name),
        }
    }

    /// One sandbox: of the image for ohoci, of the root that it was unpacked to for others.
    pub(super) fn round(&mut self, root: &Path) -> Result<Steps> {
        if self.name == "nitrobox" {
            let answer = self.ask(&json!({"image": root}))?;
            let seconds = |name: &str| {
                let seconds = answer[name].as_f64().context("no time")?;
                anyhow::Ok(Duration::from_secs_f64(seconds))
            };
            return Ok(Steps {
                ran: seconds("ran")?,
                reset: seconds("reset")?,
            });
        }
        let started = Instant::now();
        let image = "oci:image:big";
        self.ask(&json!({"id": 1, "op": "create", "sandbox": "a", "image": image}))?;
        self.ask(&json!({"id": 2, "op": "exec", "sandbox": "a", "command": PROGRAM}))?;
        let ran = started.elapsed();
        self.ask(&json!({"id": 3, "op": "reset", "sandbox": "a"}))?;
        let reset = started.elapsed() - ran;
        self.ask(&json!({"id": 4, "op": "remove", "sandbox": "a"}))?;
        Ok(Steps { ran, reset })
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.questions);
        self.child.wait()?;
        Ok(())
    }
}
