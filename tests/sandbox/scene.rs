//! A root file system with the programs of this machine, and what goes on in it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::command::{Ohoci, Outcome};

pub(super) struct Scene {
    pub(super) ohoci: Ohoci,
    pub(super) root: PathBuf,
    /// Where it keeps temporary files.
    pub(super) temporary: PathBuf,
}

impl Scene {
    pub(super) fn new() -> Self {
        let ohoci = Ohoci::new();
        let (root, temporary) = (ohoci.work().join("root"), ohoci.work().join("tmp"));
        for directory in ["etc", "opt", "tmp", "usr"] {
            fs_err::create_dir_all(root.join(directory)).unwrap();
        }
        for name in ["bin", "lib", "lib64"] {
            let target = format!("usr/{name}");
            fs_err::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        fs_err::create_dir(&temporary).unwrap();
        Self {
            ohoci,
            root,
            temporary,
        }
    }

    /// The words behind `ohoci` that have a shell inside run a script.
    pub(super) fn words<'a>(flags: &[&'a str], script: &'a str) -> Vec<&'a str> {
        let mut words = vec!["run", "--rootfs", "root", "--mount", "/usr:/usr:ro"];
        words.extend_from_slice(flags);
        words.extend(["--", "/bin/sh", "-c", script]);
        words
    }

    pub(super) fn command(&self, flags: &[&str], script: &str) -> Command {
        let mut command = self.ohoci.command();
        command
            .args(Self::words(flags, script))
            .env("TMPDIR", &self.temporary)
            .stdin(Stdio::null());
        command
    }

    pub(super) fn run(&self, flags: &[&str], script: &str) -> Outcome {
        Outcome::of(&mut self.command(flags, script))
    }

    /// What a script says that succeeds and has nothing to complain of.
    #[track_caller]
    pub(super) fn says(&self, flags: &[&str], script: &str) -> String {
        let outcome = self.run(flags, script).exits(0);
        assert_eq!(outcome.stderr, "");
        outcome.stdout
    }

    /// What a program in Perl says, which can make any call of the kernel.
    #[track_caller]
    pub(super) fn perl(&self, flags: &[&str], program: &str) -> String {
        fs_err::write(self.root.join("opt/program"), program).unwrap();
        // What ohoci says of this machine's network is of no interest.
        self.run(flags, "exec perl /opt/program").exits(0).stdout
    }
}

/// The numbers of the processes whose command line has this word in it.
pub(super) fn processes(word: &str) -> Vec<u32> {
    let has = |pid: &u32| {
        let line = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    fs_err::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(has)
        .collect()
}
