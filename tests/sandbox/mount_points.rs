//! Nothing is mounted through a link that a program in the same sandbox left before.

use std::path::{Path, PathBuf};

use ohoci_sandbox::{
    Bind, Bubblewrap, Calls, CopyOnWrite, Ended, Network, RunError, Sandbox, Streams, Workspace,
};

/// A root file system with a shell in it.
fn lower(directory: &Path) -> PathBuf {
    let lower = directory.join("lower");
    for name in ["bin", "dev", "proc", "tmp"] {
        fs_err::create_dir_all(lower.join(name)).unwrap();
    }
    for name in ["sh", "ln", "cat", "mkdir"] {
        fs_err::copy("/bin/busybox", lower.join("bin").join(name)).unwrap();
    }
    lower
}

fn sandbox(root: PathBuf, binds: Vec<Bind>, temporary: Vec<PathBuf>) -> Sandbox {
    Sandbox {
        root,
        writable: true,
        binds,
        temporary,
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        directory: "/".into(),
        user: 0,
        group: 0,
        network: Network::None,
        host_name: "box".to_owned(),
        calls: Calls::default(),
    }
}

async fn run(bubblewrap: &Bubblewrap, sandbox: &Sandbox, script: &str) -> Result<Ended, RunError> {
    let command = ["sh", "-c", script].map(Into::into);
    let sink = Streams::Into(Box::new(std::io::sink()));
    bubblewrap.run(sandbox, &command, sink, None).await
}

fn ways(scratch: &Path) -> Vec<CopyOnWrite> {
    let path = std::env::var_os("PATH");
    let found = CopyOnWrite::find(path.as_deref(), scratch).unwrap().0;
    let cp = "/bin/cp".into();
    vec![found, CopyOnWrite::Copy { cp }]
}

#[tokio::test]
async fn links_that_a_program_left_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("target");
    fs_err::create_dir(&target).unwrap();
    let source = directory.path().join("source");
    fs_err::write(&source, "put over it\n").unwrap();
    let lower = lower(directory.path());
    let bubblewrap = Bubblewrap::find(std::env::var_os("PATH").as_deref()).unwrap();
    for way in ways(directory.path()) {
        let workspace = Workspace::create(&way, &lower, directory.path()).unwrap();
        let bubblewrap = bubblewrap.clone().over(&workspace);
        let before = sandbox(workspace.root(), Vec::new(), Vec::new());
        let bind = |destination: &str| Bind {
            source: source.clone(),
            destination: destination.into(),
            writable: false,
        };
        // Where the old root lies while bubblewrap mounts.
        for outside in [
            format!("/oldroot{}", target.display()),
            target.display().to_string(),
        ] {
            for (script, binds, temporary) in [
                (
                    format!("ln -sfn {outside}/made /eval.sh"),
                    vec![bind("/eval.sh")],
                    vec![],
                ),
                (
                    format!("ln -sfn {outside} /over"),
                    vec![bind("/over/made")],
                    vec![],
                ),
                (
                    format!("ln -sfn {outside} /over"),
                    vec![],
                    vec!["/over".into()],
                ),
                (
                    format!("ln -sfn {outside} /over"),
                    vec![],
                    vec!["/over/made".into()],
                ),
            ] {
                let ended = run(&bubblewrap, &before, &script).await.unwrap();
                assert_eq!(ended, Ended::Exited(0), "{script}");
                let after = sandbox(workspace.root(), binds, temporary);
                let error = run(&bubblewrap, &after, "true").await.unwrap_err();
                assert!(
                    error.to_string().contains("there is a symlink on the way"),
                    "{script} {error}"
                );
                assert_eq!(fs_err::read_dir(&target).unwrap().count(), 0, "{script}");
            }
        }
        // What is not there yet is made, in file systems in memory too.
        let binds = vec![bind("/new"), bind("/tmp/not/there/yet")];
        let good = sandbox(workspace.root(), binds, vec!["/tmp".into()]);
        let script = "[ \"$(cat /new)\" = \"$(cat /tmp/not/there/yet)\" ] && : > /tmp/x";
        let ended = run(&bubblewrap, &good, script).await.unwrap();
        assert_eq!(ended, Ended::Exited(0));
    }
}
