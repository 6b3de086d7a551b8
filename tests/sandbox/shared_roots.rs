//! A root file system that more than one program can write to.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use super::scene::Scene;

/// A run that has begun and waits for the end of its standard input.
fn waiting(scene: &Scene, flags: &[&str]) -> Child {
    let mut command = scene.command(flags, "echo started; cat");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "started\n");
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn one_that_a_run_writes_to_is_no_other_runs() {
    let scene = Scene::new();
    let writer = waiting(&scene, &[]);
    for flags in [&[][..], &["--read-only"]] {
        let refused = scene.run(flags, "true").exits(125);
        let holder = format!("process {} is running in it", writer.id());
        assert!(refused.stderr.contains(&holder), "{}", refused.stderr);
        assert!(refused.stderr.contains("--read-only"), "{}", refused.stderr);
    }
    end(writer);
    let reader = waiting(&scene, &["--read-only"]);
    scene.run(&["--read-only"], "true").exits(0);
    scene.run(&[], "true").exits(125);
    end(reader);
    // Of what was killed nothing is left.
    let mut killed = waiting(&scene, &[]);
    killed.kill().unwrap();
    killed.wait().unwrap();
    scene.run(&[], "true").exits(0);
}

#[test]
fn what_is_moved_while_it_is_mounted_is_noticed() {
    let scene = Scene::new();
    scene.run(&[], "true").exits(0);
    // Where whoever a sandbox runs as can start it.
    let elsewhere = tempfile::tempdir_in("/var/tmp").unwrap();
    let program = elsewhere.path().join("bwrap");
    let own = scene.root.display();
    for name in ["proc", "dev"] {
        // Behind ohoci's last look, before bubblewrap's mounts.
        let script = format!(
            "#!/bin/sh\nfor root in {own} /mnt/0; do\n  /bin/mv $root/{name} $root/was && /bin/ln -s opt $root/{name}\ndone 2>/dev/null\nexec /usr/bin/bwrap \"$@\"\n"
        );
        fs_err::write(&program, script).unwrap();
        for path in [elsewhere.path(), &program] {
            fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let mut command = scene.command(&[], "echo ran");
        command.env("PATH", elsewhere.path());
        let outcome = crate::support::command::Outcome::of(&mut command).exits(125);
        assert_eq!(outcome.stdout, "", "{}", outcome.stderr);
        let said = "something has moved its /proc or /dev while the sandbox was made";
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
        let link = scene.root.join(name);
        assert!(link.is_symlink());
        fs_err::remove_file(link).unwrap();
        fs_err::rename(scene.root.join("was"), scene.root.join(name)).unwrap();
    }
    scene.run(&[], "true").exits(0);
}
