//! Logs that only Python reads: with a parser that the dataset holds, in a sandbox of its own; or with
//! the package `multi_swe_bench`, where it is installed.

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::python;
use ohoci_sandbox::{
    Bind, Bubblewrap, Calls, Ended, HOST_NAME, Limiter, Limits, Network, Sandbox, Streams,
};
use ohoci_swebench::log_parser::{Status, StatusMap};
use ohoci_swebench::way::Reader;

/// What calls a dataset's parser.
const BRIDGE: &str = include_str!("read_by_parser.py");

/// What calls the package.
const PACKAGE_BRIDGE: &str = include_str!("read_by_multi_swe_bench.py");

/// Where the bridge finds its files.
const FILES: &str = "work";

/// How long a parser may take.
const TIME: Duration = Duration::from_secs(300);

/// How much memory it may use, in bytes.
const MEMORY: u64 = 2 << 30;

/// How many processes and threads it may have.
const PROCESSES: u64 = 64;

/// How much it may answer, in bytes.
const MOST: usize = 64 << 20;

/// Directories of this machine that Python is started from, besides its own.
const SYSTEM: [&str; 5] = ["usr", "bin", "lib", "lib64", "lib32"];

/// What prints where Python is.
const WHERE: &str =
    "import os, sys; print(os.path.realpath(sys.executable)); print(sys.base_prefix)";

/// Reads logs by Python.
#[derive(Clone, Debug)]
pub struct Readers {
    python: PathBuf,
    path: Option<OsString>,
    found: Arc<OnceLock<Result<Sandboxing, String>>>,
    package: Arc<OnceLock<Result<(), String>>>,
}

/// What parsers are run with.
#[derive(Clone, Debug)]
struct Sandboxing {
    bubblewrap: Bubblewrap,
    executable: PathBuf,
    prefix: PathBuf,
}

impl Readers {
    /// Those of this Python; `path` is where bubblewrap is looked for.
    #[must_use]
    pub fn new(python: PathBuf, path: Option<OsString>) -> Self {
        Self {
            python,
            path,
            found: Arc::default(),
            package: Arc::default(),
        }
    }

    /// Whether logs can be read so.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn can_read(&self, reader: &Reader) -> Result<(), String> {
        match reader {
            Reader::Function(_) | Reader::Program(_) => self.sandboxing().map(|_| ()),
            Reader::Package { .. } => self.package().clone(),
        }
    }

    /// What a log says: standard output, and standard error where it was kept apart. Blocks.
    ///
    /// # Errors
    /// When there is no reader, or it fails, in words.
    pub(super) fn read(
        &self,
        reader: &Reader,
        output: &str,
        errors: &str,
    ) -> Result<StatusMap, String> {
        match reader {
            Reader::Function(source) => {
                let answer = self.run("function", source, output, errors)?;
                Ok(of_pairs(&answer, of_function))
            }
            Reader::Program(source) => {
                let answer = self.run("program", source, output, errors)?;
                Ok(of_pairs(&answer, Status::of_word))
            }
            Reader::Package {
                org,
                repo,
                number,
                interval,
                tag,
            } => {
                self.package().clone()?;
                let job = json!({
                    "org": org, "repo": repo, "number": number,
                    "number_interval": interval, "tag": tag, "log": output,
                });
                let answer = ask(&self.python, &job.to_string())?;
                Ok(of_pairs(&answer, Status::of_word))
            }
        }
    }

    fn package(&self) -> &Result<(), String> {
        self.package
            .get_or_init(|| ask(&self.python, "").map(|_| ()))
    }

    fn sandboxing(&self) -> Result<&Sandboxing, String> {
        let found = self.found.get_or_init(|| {
            let bubblewrap =
                Bubblewrap::find(self.path.as_deref()).map_err(|error| error.to_string())?;
            let python = self.python.display();
            let said = Command::new(&self.python)
                .args(["-I", "-c", WHERE])
                .stdin(Stdio::null())
                .output()
                .map_err(|error| format!("cannot start {python}: {error}"))?;
            let text = String::from_utf8_lossy(&said.stdout);
            let mut lines = text.lines().map(PathBuf::from);
            match (lines.next(), lines.next()) {
                (Some(executable), Some(prefix))
                    if executable.is_absolute() && prefix.parent().is_some() =>
                {
                    Ok(Sandboxing {
                        bubblewrap,
                        executable,
                        prefix,
                    })
                }
                _ => Err(format!("{python} does not say where it is")),
            }
        });
        found.as_ref().map_err(Clone::clone)
    }

    /// Has a parser read a log in a sandbox that holds Python and the log.
    fn run(&self, kind: &str, source: &str, output: &str, errors: &str) -> Result<Value, String> {
        let sandboxing = self.sandboxing()?;
        let failed = |error: io::Error| format!("the parser cannot be run: {error}");
        let directory = tempfile::tempdir().map_err(failed)?;
        let mark = directory
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let root = directory.path().join("root");
        let binds = sandboxing.root(&root).map_err(failed)?;
        for (name, content) in [
            ("bridge.py", BRIDGE),
            ("parser.py", source),
            ("stdout.log", output),
            ("stderr.log", errors),
        ] {
            let path = root.join(FILES).join(name);
            fs_err::write(&path, content).map_err(failed)?;
            fs_err::set_permissions(&path, Permissions::from_mode(0o644)).map_err(failed)?;
        }
        let limiter = Limiter::find(Limits {
            memory: Some(MEMORY),
            processes: Some(PROCESSES),
            time: Some(TIME),
            ..Limits::default()
        });
        let group = Arc::new(limiter).group(None).map_err(failed)?;
        let sandbox = Sandbox {
            root,
            writable: false,
            binds,
            temporary: vec!["/tmp".into()],
            environment: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
            directory: "/tmp".into(),
            user: 0,
            group: 0,
            network: Network::None,
            host_name: HOST_NAME.to_owned(),
            calls: Calls::default(),
        };
        let bridge = format!("/{FILES}/bridge.py");
        let executable = sandboxing.executable.as_os_str();
        let mut words = vec![executable.to_owned()];
        words.extend(["-I", "-S", &bridge, kind, &mark].map(OsString::from));
        let said = Said::default();
        let sink = Box::new(said.clone());
        let bubblewrap = sandboxing.bubblewrap.limited_by(Arc::new(group));
        // Whoever calls this may be within a runtime, which cannot be waited in.
        let ended = std::thread::scope(|scope| {
            let run = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(failed)?;
                let run = bubblewrap.run(&sandbox, &words, Streams::Into(sink), Some(TIME));
                runtime
                    .block_on(run)
                    .map_err(|error| format!("the parser cannot be run: {error}"))
            });
            run.join()
                .unwrap_or_else(|_| Err("the parser's thread has ended".to_owned()))
        })?;
        let text = said.text();
        let mut answers = text.lines().filter_map(|line| line.strip_prefix(&*mark));
        let answer = answers
            .next_back()
            .and_then(|line| serde_json::from_str::<Value>(line).ok());
        let Some(answer) = answer else {
            return Err(match ended {
                Ended::TimedOut => {
                    format!("the parser took longer than {} s", TIME.as_secs())
                }
                _ => {
                    let last = text.lines().next_back().unwrap_or("it wrote nothing");
                    format!("the parser was ended before it answered: {last}")
                }
            });
        };
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(format!("the row's parser failed: {error}")),
            None => Ok(answer),
        }
    }
}

impl Sandboxing {
    /// Makes a root file system of nothing but this machine's Python and the programs' libraries.
    fn root(&self, root: &Path) -> io::Result<Vec<Bind>> {
        let mut binds = Vec::new();
        let mut bind = |source: PathBuf| {
            binds.push(Bind {
                destination: source.clone(),
                source,
                writable: false,
            });
        };
        let make = |path: &Path| -> io::Result<()> {
            let inside = path.strip_prefix("/").unwrap_or(path);
            let mut at = root.to_owned();
            for part in inside.components() {
                at.push(part);
                if !at.is_dir() {
                    fs_err::create_dir(&at)?;
                    fs_err::set_permissions(&at, Permissions::from_mode(0o755))?;
                }
            }
            Ok(())
        };
        fs_err::create_dir(root)?;
        fs_err::set_permissions(root, Permissions::from_mode(0o755))?;
        for name in ["proc", "dev", "tmp", FILES] {
            make(Path::new(name))?;
        }
        for name in SYSTEM {
            let path = Path::new("/").join(name);
            match fs_err::read_link(&path) {
                Ok(target) => fs_err::os::unix::fs::symlink(target, root.join(name))?,
                Err(_) if path.is_dir() => {
                    make(&path)?;
                    bind(path);
                }
                Err(_) => {}
            }
        }
        let is_system = |path: &Path| {
            SYSTEM
                .iter()
                .any(|name| path.starts_with(Path::new("/").join(name)))
        };
        if !is_system(&self.prefix) {
            make(&self.prefix)?;
            bind(self.prefix.clone());
        }
        Ok(binds)
    }
}

/// Asks the package; an empty job only asks whether it is there.
fn ask(python: &Path, job: &str) -> Result<Value, String> {
    let hint = "--python PROGRAM names a Python that has it";
    let said = python::ask(python, PACKAGE_BRIDGE, job)
        .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
    let text = String::from_utf8_lossy(&said.stdout);
    let answer = text.lines().next_back();
    let Some(answer) = answer.and_then(|line| serde_json::from_str::<Value>(line).ok()) else {
        let said = String::from_utf8_lossy(&said.stderr);
        let last = said
            .trim()
            .lines()
            .next_back()
            .unwrap_or("nothing")
            .to_owned();
        return Err(format!("the package multi_swe_bench said {last:?}"));
    };
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(format!(
            "the package multi_swe_bench, which reads logs of Multi-SWE-bench, cannot be used: {error} ({hint})"
        )),
        None => Ok(answer),
    }
}

/// What an answer says of each test.
fn of_pairs(answer: &Value, status: impl Fn(&str) -> Status) -> StatusMap {
    let mut found = StatusMap::default();
    let pairs = answer.get("tests").and_then(Value::as_array);
    for pair in pairs.into_iter().flatten() {
        let text = |at: usize| pair.get(at).and_then(Value::as_str);
        if let (Some(test), Some(word)) = (text(0), text(1)) {
            // Datasets count sets of names: what passed once is among those that passed.
            if found.get(test) != Some(&Status::Passed) {
                found.insert(test, status(word));
            }
        }
    }
    found
}

/// What a function says of a test: any word with one of three in it.
fn of_function(word: &str) -> Status {
    let word = word.to_lowercase();
    if word.contains("fail") {
        Status::Failed
    } else if word.contains("pass") {
        Status::Passed
    } else {
        Status::Skipped
    }
}

/// What a parser's bridge writes, kept in memory.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

impl Write for Said {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock();
        if bytes.len() + piece.len() > MOST {
            return Err(io::Error::other("it answers too much"));
        }
        bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readers() -> Readers {
        Readers::new("python3".into(), std::env::var_os("PATH"))
    }

    fn read(reader: &Reader, output: &str, errors: &str) -> Result<Vec<(String, String)>, String> {
        let found = readers().read(reader, output, errors)?;
        let found = found.iter();
        Ok(found
            .map(|(test, status)| (test.to_owned(), status.word().to_owned()))
            .collect())
    }

    #[test]
    fn a_function_of_the_row_reads_the_log() {
        let source = "import re\nprint('noise')\ndef parser(log: str) -> dict[str, str]:\n    found = {}\n    for line in log.splitlines():\n        m = re.match(r'(ok|not ok) (.*)', line)\n        if m:\n            found[m[2]] = 'pass' if m[1] == 'ok' else 'FAIL'\n    return found\n";
        let reader = Reader::Function(source.to_owned());
        let found = read(&reader, "ok a b\nnot ok c ü\nelse\n", "").unwrap();
        let expected = [("a b", "PASSED"), ("c ü", "FAILED")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(read(&reader, "nothing", "").unwrap(), []);
    }

    #[test]
    fn a_program_of_the_dataset_reads_both_streams() {
        let source = "import json, sys\nout, err, to = sys.argv[1:]\ntests = [{'name': n, 'status': 'PASSED'} for n in open(out).read().split()]\ntests += [{'name': n, 'status': 'FAILED'} for n in open(err).read().split()]\njson.dump({'tests': tests}, open(to, 'w'))\nsys.exit(0)\n";
        let reader = Reader::Program(source.to_owned());
        let found = read(&reader, "a b\n", "b c").unwrap();
        let expected = [("a", "PASSED"), ("b", "PASSED"), ("c", "FAILED")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn a_parser_sees_nothing_of_this_machine_and_fails_in_its_own_words() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        let source = format!(
            "def parser(log):\n    return {{open({:?}).read(): 'pass'}}\n",
            secret.path()
        );
        let error = read(&Reader::Function(source), "", "").unwrap_err();
        assert!(error.contains("FileNotFoundError"), "{error}");
        let socket =
            "import socket\ndef parser(log):\n    socket.create_connection(('127.0.0.1', 9))\n";
        let error = read(&Reader::Function(socket.to_owned()), "", "").unwrap_err();
        assert!(error.contains("Error"), "{error}");
        let error = read(&Reader::Function("x = 1".to_owned()), "", "").unwrap_err();
        assert!(error.contains("defines no function `parser`"), "{error}");
        let missing = Readers::new("/nothing/python3".into(), std::env::var_os("PATH"));
        let error = missing
            .can_read(&Reader::Function(String::new()))
            .unwrap_err();
        assert!(error.contains("cannot start /nothing/python3"), "{error}");
    }
}
