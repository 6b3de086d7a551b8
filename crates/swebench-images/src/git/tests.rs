//! A repository whose settings name a program for everything starts none of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::repository::{RepoSource, Repository, locate};
use super::*;

/// What a person would type, without a user's settings.
fn by_hand(directory: &Path, words: &[&str], input: &str) -> String {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=a", "-c", "user.email=a@registry.example"])
        .args(words)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", "1000000000 +0000")
        .env("GIT_COMMITTER_DATE", "1000000000 +0000");
    let said = outcome(command, words, input.as_bytes(), None).unwrap();
    String::from_utf8(said).unwrap().trim().to_owned()
}

/// A repository, and the directory in which each program that its settings name leaves a file.
struct Hostile {
    directory: tempfile::TempDir,
    commit: String,
}

impl Hostile {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path().join("repository");
        fs_err::create_dir_all(directory.path().join("started")).unwrap();
        fs_err::create_dir(&repository).unwrap();
        let git = |words: &[&str]| by_hand(&repository, words, "");
        git(&["init", "--quiet", "--initial-branch=trunk"]);
        fs_err::write(repository.join("file"), "one\n").unwrap();
        fs_err::write(repository.join("other"), "two\n").unwrap();
        git(&["add", "."]);
        git(&["commit", "--quiet", "-m", "one"]);
        git(&["tag", "--annotate", "-m", "one", "v1"]);
        // A signature that there is something to check by.
        let plain = git(&["cat-file", "commit", "HEAD"]);
        let (headers, message) = plain.split_once("\n\n").unwrap();
        let signature =
            "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----";
        let signed = format!("{headers}\n{signature}\n\n{message}\n");
        let words = ["hash-object", "-t", "commit", "-w", "--stdin"];
        let commit = by_hand(&repository, &words, &signed);
        git(&["update-ref", "refs/heads/trunk", &commit]);
        let hostile = Self { directory, commit };
        hostile.plant();
        hostile
    }

    fn repository(&self) -> PathBuf {
        self.directory.path().join("repository")
    }

    /// A program that says that it was started.
    fn program(&self, name: &str) -> String {
        let program = self.directory.path().join(format!("{name}.sh"));
        let mark = self.directory.path().join("started").join(name);
        let script = format!("#!/bin/sh\n: > '{}'\nexit 0\n", mark.display());
        fs_err::write(&program, script).unwrap();
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(&program, mode).unwrap();
        program.display().to_string()
    }

    fn plant(&self) {
        let repository = self.repository();
        for key in [
            "core.fsmonitor",
            "core.pager",
            "core.editor",
            "core.askPass",
            "core.sshCommand",
            "core.alternateRefsCommand",
            "diff.external",
            "gpg.program",
            "interactive.diffFilter",
            "uploadpack.packObjectsHook",
            "credential.helper",
        ] {
            let program = self.program(key);
            by_hand(&repository, &["config", key, &program], "");
        }
        let hooks = repository.join("hooks");
        fs_err::create_dir(&hooks).unwrap();
        for hook in [
            "post-checkout",
            "post-index-change",
            "reference-transaction",
        ] {
            fs_err::copy(self.program(hook), hooks.join(hook)).unwrap();
        }
        let lazy = format!("ext::{} %S", self.program("promisor"));
        for (key, value) in [
            ("core.hooksPath", hooks.to_str().unwrap()),
            ("log.showSignature", "true"),
            ("protocol.ext.allow", "always"),
            ("core.repositoryformatversion", "1"),
            ("extensions.partialClone", "origin"),
            ("remote.origin.url", &lazy),
            ("remote.origin.promisor", "true"),
        ] {
            by_hand(&repository, &["config", key, value], "");
        }
    }

    fn started(&self) -> Vec<String> {
        let started = fs_err::read_dir(self.directory.path().join("started")).unwrap();
        started
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[test]
fn a_repository_of_this_machine_starts_nothing() {
    let hostile = Hostile::new();
    let git = Git::find(std::env::var_os("PATH").as_deref()).unwrap();
    let source = RepoSource::parse(hostile.repository().to_str().unwrap());
    let clones = hostile.directory.path().join("clones");
    let commit = hostile.commit.as_str();
    let found: Repository = locate(&git, &[source], "a/b", commit, &clones).unwrap();
    // What is missing would be fetched from where the settings say.
    assert!(!found.has(&"1".repeat(40)));
    assert_eq!(found.file(commit, "file").unwrap(), "one\n");
    assert_eq!(found.file(&"1".repeat(40), "file"), None);
    assert_eq!(found.branch(), "trunk");
    assert_eq!(found.date(commit).unwrap(), 1_000_000_000);
    found.tags(commit).unwrap();
    assert_eq!(found.steps(commit, 1, 1).unwrap(), [commit]);
    found
        .pack(&[commit], &[], hostile.directory.path())
        .unwrap();
    assert_eq!(hostile.started(), [""; 0]);
}

#[test]
fn what_is_run_in_a_sandbox_starts_nothing_either() {
    let hostile = Hostile::new();
    let patch = "diff --git a/file b/file\n--- a/file\n+++ b/file\n@@ -1 +1 @@\n-one\n+1\n";
    let file = hostile.directory.path().join("patch");
    fs_err::write(&file, patch).unwrap();
    let file = file.to_str().unwrap();
    let run = |line: &str| {
        let done = Command::new("sh")
            .args(["-c", &in_shell(line)])
            .current_dir(hostile.repository())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{line}: {said}");
        String::from_utf8(done.stdout).unwrap()
    };
    for apply in [
        "git apply --verbose",
        "git apply --verbose --3way",
        "git apply --reject",
    ] {
        run(&format!("{apply} {file}"));
        let said = run("git -c core.fileMode=false --no-pager diff --no-ext-diff HEAD");
        assert!(said.contains("+1"), "{said}");
        run("git reset --quiet; git checkout -- . ; git clean -fd");
    }
    run("git read-tree HEAD");
    assert_eq!(hostile.started(), [""; 0]);
}

#[test]
fn every_git_of_a_line_is_told() {
    let line = in_shell("cd /x && git a -- . ; git b");
    assert_eq!(line.matches("git '-c' 'core.fsmonitor=false' ").count(), 2);
    assert!(line.starts_with("cd /x && git "), "{line}");
    assert!(line.ends_with(" b"), "{line}");
}

#[test]
fn what_takes_too_long_is_ended_and_credentials_are_not_quoted() {
    let run = |script: &str, limit| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        outcome(command, &["clone"], b"", Some(limit))
    };
    let late = run("exec sleep 3600", Duration::from_millis(20)).unwrap_err();
    assert_eq!(late.to_string(), "git clone: it took longer than 0 s");
    let said = "echo \"cannot access 'https://me:hunter2@git.example/a'\" >&2; exit 1";
    let failed = run(said, Duration::from_secs(60)).unwrap_err().to_string();
    assert!(failed.contains("https://git.example/a"), "{failed}");
    assert!(!failed.contains("hunter2"), "{failed}");
    assert_eq!(run("cat; echo x", Duration::from_secs(60)).unwrap(), b"x\n");
}
