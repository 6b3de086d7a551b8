//! A machine with files of credentials and helpers of its own, for tests.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::Credential;
use ohoci_config::Environment;
use ohoci_config::environment::{HOME, PATH, XDG_RUNTIME_DIR};

/// A helper that fails and says why.
pub(super) const FAILING: &str = "echo 'the keyring is locked' >&2; exit 1";

/// A helper that keeps what it is given in files below `$KEPT`.
const KEEPING: &str = r#"
file="$KEPT/$(printf '%s' "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' | tr -c 'a-z0-9.\n' _)"
case $1 in
store) printf '%s' "$input" > "$file" ;;
erase) rm -f "$file" ;;
get) cat "$file" 2>/dev/null || { echo credentials not found in native keychain; exit 1; } ;;
esac
"#;

/// `home` is its home directory, `run` the session's and `bin` its PATH.
#[derive(Debug)]
pub(super) struct Machine {
    directory: TempDir,
}

impl Machine {
    pub(super) fn new() -> Self {
        let machine = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        for name in ["home", "run", "bin", "kept"] {
            fs_err::create_dir(machine.path(name)).unwrap();
        }
        machine
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::of([
            (HOME, self.path("home").into()),
            (XDG_RUNTIME_DIR, self.path("run").into()),
            (PATH, self.path("bin").into()),
        ])
    }

    pub(super) fn file(self, name: &str, text: &str) -> Self {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
        self
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).unwrap()
    }

    /// Installs `docker-credential-NAME`: shell in which `$1` is the verb and `$input` what came
    /// in. Every run is logged.
    pub(super) fn helper(self, name: &str, script: &str) -> Self {
        let source = self.path("helper.sh");
        let text = format!(
            "#!/bin/sh\ninput=$(cat)\necho \"$1 $input\" >> '{}'\nKEPT='{}'\n{script}\n",
            self.path("log").display(),
            self.path("kept").display()
        );
        fs_err::write(&source, text).unwrap();
        // Another process writes the program: had this one a handle to write to it, a thread that
        // starts a process meanwhile would pass it on, and running the program would fail (ETXTBSY).
        let status = Command::new("install")
            .args(["-m", "755"])
            .arg(&source)
            .arg(self.path("bin").join(format!("docker-credential-{name}")))
            .status()
            .unwrap();
        assert!(status.success());
        self
    }

    /// Installs a helper that knows one server.
    pub(super) fn answering(self, name: &str, server: &str, username: &str, secret: &str) -> Self {
        self.helper(
            name,
            &format!(
                r#"if [ "$input" = '{server}' ]; then
                       echo '{{"ServerURL":"{server}","Username":"{username}","Secret":"{secret}"}}'
                   else
                       echo credentials not found in native keychain; exit 1
                   fi"#
            ),
        )
    }

    /// Installs a helper that keeps what it is given.
    pub(super) fn keeping(self, name: &str) -> Self {
        self.helper(name, KEEPING)
    }

    /// Every run of a helper: its verb and its input.
    pub(super) fn log(&self) -> Vec<String> {
        match fs_err::read_to_string(self.path("log")) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(_) => Vec::new(),
        }
    }
}

pub(super) fn user(username: &str, password: &str) -> Credential {
    Credential::Basic {
        username: username.to_owned(),
        password: password.into(),
    }
}
