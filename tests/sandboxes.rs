//! `ohoci sandboxes`: another program steers many sandboxes by lines of JSON, and garbled lines cost nothing
//! but an answer.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use ohoci_image::media_type::{Compression, Family};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::command::Ohoci;
use crate::support::images::{Layer, Node, busybox};

fn machine() -> Ohoci {
    let ohoci = Ohoci::new();
    let write = |name: &str, nodes: &[(&str, Node)]| {
        busybox(Family::Oci, Compression::Gzip)
            .layer(Layer::pack(nodes, Compression::Gzip))
            .build()
            .write_layout(&ohoci.work().join(name), "latest");
    };
    let file = |text: &str| Node::File(text.as_bytes().to_vec());
    write(
        "image",
        &[
            ("bin/sleep", Node::Link("busybox")),
            ("etc/base", file("base\n")),
            ("link", Node::Link("/etc")),
        ],
    );
    write(
        "deps",
        &[
            ("tools", Node::Directory),
            ("tools/greeting", file("hello\n")),
        ],
    );
    fs_err::create_dir(ohoci.work().join("tmp")).unwrap();
    ohoci
}

/// `ohoci sandboxes`, and what it said that was not asked for yet.
struct Steered {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    said: HashMap<String, Value>,
}

impl Steered {
    fn start(ohoci: &Ohoci, flags: &[&str]) -> Self {
        let mut child = ohoci
            .command()
            .arg("sandboxes")
            .args(flags)
            .env("TMPDIR", ohoci.work().join("tmp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut steered = Self {
            child,
            input,
            output,
            said: HashMap::new(),
        };
        let first = steered.line().unwrap();
        assert_eq!(first["protocol"], 1);
        assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
        steered
    }

    fn put(&mut self, line: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line).unwrap();
        input.write_all(b"\n").unwrap();
    }

    fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.output.read_line(&mut line).unwrap() {
            0 => None,
            _ => Some(serde_json::from_str(&line).unwrap()),
        }
    }

    fn tell(&mut self, question: &Value) {
        self.put(question.to_string().as_bytes());
    }

    /// The answer to what has this mark.
    #[track_caller]
    fn answer(&mut self, id: &Value) -> Value {
        loop {
            if let Some(answer) = self.said.remove(&id.to_string()) {
                return answer;
            }
            let answer = self.line().expect("an answer");
            self.said.insert(answer["id"].to_string(), answer);
        }
    }

    #[track_caller]
    fn ask(&mut self, question: &Value) -> Value {
        self.tell(question);
        self.answer(&question["id"])
    }

    /// The same, which has to be done.
    #[track_caller]
    fn does(&mut self, question: &Value) -> Value {
        let answer = self.ask(question);
        assert_eq!(answer["ok"], true, "{question}: {answer}");
        answer
    }

    #[track_caller]
    fn refuses(&mut self, question: &Value, why: &str) {
        let answer = self.ask(question);
        assert_eq!(answer["ok"], false, "{question}: {answer}");
        assert!(
            answer["error"].to_string().contains(why),
            "{question}: {answer}"
        );
    }

    fn create(&mut self, sandbox: &str) -> Value {
        self.does(&json!({
            "id": sandbox, "op": "create", "sandbox": sandbox, "image": "oci:image",
        }))
    }

    /// What a shell inside says.
    #[track_caller]
    fn says(&mut self, sandbox: &str, script: &str) -> String {
        let answer = self.does(&json!({
            "id": "says", "op": "exec", "sandbox": sandbox, "command": ["sh", "-c", script],
        }));
        answer["stdout"].as_str().unwrap().to_owned()
    }

    fn ends(mut self) -> Option<i32> {
        drop(self.input.take());
        while self.line().is_some() {}
        self.child.wait().unwrap().code()
    }
}

fn left(ohoci: &Ohoci) -> usize {
    fs_err::read_dir(ohoci.work().join("tmp")).unwrap().count()
}

#[test]
fn sandboxes_are_made_run_in_reset_and_removed() {
    let ohoci = machine();
    let mut steered = Steered::start(&ohoci, &[]);
    let made = steered.create("a");
    assert_eq!(made["unpacked"], 2);
    let digest = ohoci.run(["digest", "oci:image"]).exits(0).stdout;
    assert_eq!(digest.trim(), made["image"].as_str().unwrap());
    // What is known is there at once, and shares nothing that is written.
    assert_eq!(steered.create("b")["unpacked"], 0);
    let script = "echo $((6 * 7)) > /new; cat /new /etc/base";
    assert_eq!(steered.says("a", script), "42\nbase\n");
    assert_eq!(steered.says("a", "cat /new"), "42\n");
    assert_eq!(steered.says("b", "cat /new || echo none"), "none\n");
    steered.does(&json!({"id": 1, "op": "reset", "sandbox": "a"}));
    assert_eq!(steered.says("a", "cat /new || echo none"), "none\n");

    let listed = steered.does(&json!({"id": 2, "op": "list"}));
    let sandboxes = listed["sandboxes"].as_array().unwrap();
    assert_eq!(sandboxes.len(), 2);
    assert_eq!(sandboxes[0]["image"], made["image"]);
    steered.does(&json!({"id": 3, "op": "remove", "sandbox": "a"}));
    let exec = json!({"id": 4, "op": "exec", "sandbox": "a", "command": ["true"]});
    steered.refuses(&exec, "none of that name");
    steered.create("a");
    assert_eq!(steered.ends(), Some(0));
    assert_eq!(left(&ohoci), 0);
}

#[test]
fn programs_have_what_they_are_given_and_their_streams_come_apart() {
    let ohoci = machine();
    let mut steered = Steered::start(&ohoci, &["--jobs", "1"]);
    steered.does(&json!({
        "id": 0, "op": "create", "sandbox": "a", "image": "oci:image",
        "env": {"ONE": "1", "TWO": "1"}, "workdir": "/tmp", "hostname": "box",
    }));
    let answer = steered.does(&json!({
        "id": 1, "op": "exec", "sandbox": "a", "env": {"TWO": "2"}, "stdin": "typed\n",
        "command": ["sh", "-c", "cat; echo $ONE $TWO $HOSTNAME; pwd; echo bad >&2; exit 3"],
    }));
    assert_eq!(answer["stdout"], "typed\n1 2 box\n/tmp\n");
    assert_eq!(
        (&answer["stderr"], &answer["exit"]),
        (&json!("bad\n"), &json!(3))
    );

    let answer = steered.does(&json!({
        "id": 2, "op": "exec", "sandbox": "a", "stdin_base64": "AP8=", "command": ["cat"],
    }));
    assert_eq!(answer["stdout_base64"], "AP8=");
    let answer = steered.does(&json!({
        "id": 3, "op": "exec", "sandbox": "a", "output_limit": 4,
        "command": ["sh", "-c", "echo 123456; echo 12 >&2"],
    }));
    assert_eq!(answer["stdout"], "1234");
    assert_eq!(
        (&answer["stdout_cut"], &answer["stderr_cut"]),
        (&json!(true), &Value::Null)
    );

    let answer = steered.does(&json!({
        "id": 4, "op": "exec", "sandbox": "a", "timeout": 0.3,
        "command": ["sh", "-c", "echo before; sleep 1000"],
    }));
    assert_eq!(
        (&answer["timed_out"], &answer["exit"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(answer["stdout"], "before\n");

    let missing = json!({"id": 5, "op": "exec", "sandbox": "a", "command": ["nothing"]});
    steered.refuses(&missing, "no such program");
    steered.does(&json!({
        "id": 6, "op": "create", "sandbox": "c", "base": "oci:image", "deps": ["oci:deps"],
    }));
    assert_eq!(
        steered.says("c", "cat /etc/base /tools/greeting"),
        "base\nhello\n"
    );
    assert_eq!(steered.ends(), Some(0));
}

#[test]
fn files_are_copied_in_and_out_behind_the_links_of_the_image() {
    let ohoci = machine();
    let mut steered = Steered::start(&ohoci, &[]);
    steered.create("a");
    let copied = steered.does(&json!({
        "id": 1, "op": "copy-in", "sandbox": "a", "path": "/link/new/file", "content": "in\n",
        "mode": "755",
    }));
    assert_eq!(copied["path"], "/etc/new/file");
    assert_eq!(
        steered.says("a", "cat /etc/new/file; test -x /etc/new/file && echo x"),
        "in\nx\n"
    );
    ohoci.write("work/own", [0, 255]);
    for id in [2, 3] {
        // Over what a layer has, and over what was there before.
        steered.does(&json!({
            "id": id, "op": "copy-in", "sandbox": "a", "path": "/etc/base", "from": "own",
        }));
    }
    let out =
        steered.does(&json!({"id": 4, "op": "copy-out", "sandbox": "a", "path": "/etc/base"}));
    assert_eq!(
        (&out["content_base64"], &out["size"]),
        (&json!("AP8="), &json!(2))
    );
    // A link that a program has made leads nowhere outside.
    let secret = ohoci.write("work/secret", "secret\n");
    let script = format!(
        "ln -s {} /out; ln -s ../../../.. /up; echo made",
        secret.display()
    );
    assert_eq!(steered.says("a", &script), "made\n");
    let outside = json!({"id": 5, "op": "copy-out", "sandbox": "a", "path": "/out"});
    steered.refuses(&outside, "no such regular file");
    let path = format!("/up{}", secret.display());
    steered.does(&json!({
        "id": 6, "op": "copy-in", "sandbox": "a", "path": path, "content": "changed\n",
    }));
    assert_eq!(fs_err::read_to_string(&secret).unwrap(), "secret\n");
    steered.does(&json!({
        "id": 7, "op": "copy-out", "sandbox": "a", "path": "/etc/new/file", "to": "saved",
    }));
    let saved = fs_err::read_to_string(ohoci.work().join("saved")).unwrap();
    assert_eq!(saved, "in\n");
    steered.refuses(
        &json!({"id": 8, "op": "copy-in", "sandbox": "a", "path": "/etc", "content": ""}),
        "directory",
    );
    assert_eq!(steered.ends(), Some(0));
}

#[test]
fn directories_are_copied_in_and_out_and_no_link_of_a_sandbox_leads_out() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let ohoci = machine();
    let at = |path: &str| ohoci.work().join(path);
    ohoci.write("work/project/src/main", "main\n");
    ohoci.write("work/project/run", "#!/bin/sh\necho ran\n");
    fs_err::set_permissions(at("project/run"), PermissionsExt::from_mode(0o755)).unwrap();
    symlink("src/main", at("project/link")).unwrap();
    let secret = ohoci.write("work/outside/secret", "secret\n");

    let mut steered = Steered::start(&ohoci, &[]);
    steered.create("a");
    let copied = steered.does(&json!({
        "id": 1, "op": "copy-in", "sandbox": "a", "path": "/link/project", "from": "project",
    }));
    assert_eq!(copied["path"], "/etc/project");
    assert_eq!(
        (&copied["entries"], &copied["size"]),
        (&json!(4), &json!(24))
    );
    assert_eq!(
        steered.says("a", "cd /etc/project; ./run; cat link; cat /etc/base"),
        "ran\nmain\nbase\n"
    );
    let out = |steered: &mut Steered, to: &str| {
        steered.does(&json!({
            "id": 2, "op": "copy-out", "sandbox": "a", "path": "/etc/project", "to": to,
        }))
    };
    // What a program leaves: links out, a directory's place taken by one, things that were removed.
    let script = format!(
        "cd /etc/project; ln -s {0} out; rm -r src; ln -s {0} src; rm /etc/base; echo more > more",
        secret.parent().unwrap().display()
    );
    steered.says("a", &script);
    let copied = out(&mut steered, "result");
    assert_eq!(copied["entries"], 5);
    let names = |path: &str| {
        let entries = fs_err::read_dir(at(path)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("result"), ["link", "more", "out", "run", "src"]);
    let link = fs_err::symlink_metadata(at("result/src")).unwrap();
    assert!(link.is_symlink());
    let mode = fs_err::metadata(at("result/run")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o755);

    // The link in the directory's place is not followed, and what is there is not replaced by halves.
    let again = json!({
        "id": 3, "op": "copy-in", "sandbox": "a", "path": "/etc/project", "from": "project",
    });
    steered.refuses(&again, "/etc/project/src: something that is no directory");
    assert_eq!(names("outside"), ["secret"]);
    steered.says("a", "rm -r /etc/project");
    steered.does(&again);
    assert_eq!(
        steered.says("a", "ls /etc/project; cat /etc/project/link"),
        "link\nrun\nsrc\nmain\n"
    );
    // And what was removed can be written anew.
    steered.does(&json!({
        "id": 4, "op": "copy-in", "sandbox": "a", "path": "/etc/base", "content": "anew\n",
    }));
    assert_eq!(steered.says("a", "cat /etc/base"), "anew\n");

    for (question, why) in [
        (
            json!({"op": "copy-out", "path": "/etc"}),
            "it is a directory",
        ),
        (
            json!({"op": "copy-out", "path": "/etc/project", "to": "result"}),
            "not there yet",
        ),
        (
            json!({"op": "copy-in", "path": "/x", "from": "project", "mode": "755"}),
            "`mode` is for files",
        ),
        (
            json!({"op": "copy-in", "path": "/etc/base", "from": "project"}),
            "/etc/base",
        ),
        (
            json!({"op": "copy-in", "path": "/x", "from": "nothing"}),
            "nothing",
        ),
    ] {
        let mut question = question;
        question["id"] = json!(5);
        question["sandbox"] = json!("a");
        steered.refuses(&question, why);
    }
    assert_eq!(names("result").len(), 5);
    // A copy can be copied on: its links are links.
    steered.create("b");
    steered.does(&json!({
        "id": 6, "op": "copy-in", "sandbox": "b", "path": "/copy", "from": "result",
    }));
    assert_eq!(
        steered.says("b", "test -L /copy/out && echo link"),
        "link\n"
    );
    // A file that only says that it is large takes nothing and is copied as it is.
    let made = "mkdir /holes; truncate -s 16M /holes/large && echo made";
    assert_eq!(steered.says("b", made), "made\n");
    let holes = json!({"id": 7, "op": "copy-out", "sandbox": "b", "path": "/holes", "to": "holes"});
    steered.does(&holes);
    let large = fs_err::metadata(at("holes/large")).unwrap();
    assert_eq!(large.len(), 16 << 20);
    assert!(std::os::unix::fs::MetadataExt::blocks(&large) < 2048);
    assert_eq!(steered.ends(), Some(0));
    assert_eq!(left(&ohoci), 0);
}

#[test]
fn garbled_lines_are_answered_and_stop_nothing() {
    let ohoci = machine();
    let mut steered = Steered::start(&ohoci, &[]);
    for line in [
        &b"nonsense"[..],
        b"{\"id\":1",
        b"[1,2]",
        b"\"text\"",
        b"\xff\xfe",
        b"\0\0\0",
        b"{\"op\":\"list\"}",
        b"{\"id\":null,\"op\":\"list\"}",
    ] {
        steered.put(line);
        let answer = steered.answer(&Value::Null);
        assert_eq!(answer["error"]["kind"], "mistake", "{answer}");
    }
    // Deeper than a reader of JSON goes.
    steered.put("[".repeat(100_000).as_bytes());
    assert_eq!(steered.answer(&Value::Null)["ok"], false);
    steered.put(&vec![b' '; (16 << 20) + 1]);
    let answer = steered.answer(&Value::Null);
    assert!(
        answer["error"]["what"].as_str().unwrap().contains("bytes"),
        "{answer}"
    );
    // Lines without anything are nothing.
    steered.put(b"");
    steered.put(b"  ");

    let create =
        |name: &str| json!({"id": 1, "op": "create", "sandbox": name, "image": "oci:image"});
    steered.refuses(&create("../up"), "`sandbox`");
    steered.refuses(&create(""), "`sandbox`");
    let none = json!({"id": 1, "op": "create", "sandbox": "a", "image": "oci:none"});
    steered.refuses(&none, "oci:none");
    steered.does(&create("a"));
    steered.refuses(&create("a"), "one of that name");
    for (extra, why) in [
        (
            json!({"op": "exec", "command": ["true"], "more": 1}),
            "more",
        ),
        (json!({"op": "exec", "command": "true"}), "sequence"),
        (json!({"op": "exec", "command": ["cat", "a\0b"]}), "NUL"),
        (
            json!({"op": "exec", "command": ["true"], "user": "nobody-here"}),
            "nobody-here",
        ),
        (
            json!({"op": "copy-in", "path": "/a", "content": "", "from": "/etc/shadow"}),
            "`from`",
        ),
        (
            json!({"op": "copy-out", "path": "/dev/zero"}),
            "no such regular file or directory",
        ),
        (json!({"op": "launch"}), "launch"),
    ] {
        let mut question = extra;
        question["id"] = json!(1);
        question["sandbox"] = json!("a");
        steered.refuses(&question, why);
    }
    assert_eq!(steered.says("a", "echo fine"), "fine\n");
    assert_eq!(steered.ends(), Some(0));
}

#[test]
fn several_go_on_side_by_side_and_one_is_in_order() {
    let ohoci = machine();
    let mut steered = Steered::start(&ohoci, &["--jobs", "4"]);
    for name in ["a", "b", "c"] {
        steered.tell(&json!({"id": name, "op": "create", "sandbox": name, "image": "oci:image"}));
    }
    // What one waits for, another does: they are not done one after the other.
    let wait = "while [ ! -e /shared/go ]; do sleep 0.05; done; echo gone";
    let shared = ohoci.work().join("shared");
    fs_err::create_dir(&shared).unwrap();
    let mount = format!("{}:/shared", shared.display());
    for name in ["d", "e"] {
        steered.does(&json!({
            "id": name, "op": "create", "sandbox": name, "image": "oci:image", "mounts": [mount],
        }));
    }
    let exec = |id: &str, name: &str, script: &str| json!({"id": id, "op": "exec", "sandbox": name, "command": ["sh", "-c", script]});
    steered.tell(&exec("waits", "d", wait));
    steered.tell(&exec("behind", "d", "echo behind"));
    steered.does(&exec("goes", "e", ": > /shared/go"));
    assert_eq!(steered.answer(&json!("waits"))["stdout"], "gone\n");
    assert_eq!(steered.answer(&json!("behind"))["stdout"], "behind\n");

    // Many at once, each in its order.
    for number in 0..20 {
        for name in ["a", "b", "c"] {
            let script = format!("echo {number} >> /all; cat /all | wc -l");
            steered.tell(&exec(&format!("{name}{number}"), name, &script));
        }
    }
    for number in 0..20 {
        for name in ["a", "b", "c"] {
            let answer = steered.answer(&json!(format!("{name}{number}")));
            assert_eq!(
                answer["stdout"].as_str().unwrap().trim(),
                (number + 1).to_string()
            );
        }
    }

    // A signal does not wait for what it is sent to.
    steered.tell(&exec(
        "sleeps",
        "a",
        "trap 'echo told; exit 9' TERM; : > /begun; while :; do sleep 0.05; done",
    ));
    let kill = json!({"id": "kill", "op": "kill", "sandbox": "a", "signal": "TERM"});
    let answer = loop {
        // It may not have begun yet, or not have its trap.
        steered.does(&kill);
        steered.does(&json!({"id": "list", "op": "list"}));
        if steered.said.contains_key("\"sleeps\"") {
            break steered.answer(&json!("sleeps"));
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(
        [9, 143].contains(&answer["exit"].as_i64().unwrap()),
        "{answer}"
    );
    let none = steered.does(&kill);
    assert_eq!(none["sent"], false);
    assert_eq!(steered.ends(), Some(0));
    assert_eq!(left(&ohoci), 0);
}

#[test]
fn what_was_asked_for_is_done_when_there_is_no_more_and_an_interrupted_one_leaves_nothing() {
    let ohoci = machine();
    let mut steered = Steered::start(&ohoci, &[]);
    steered.tell(&json!({"id": 1, "op": "create", "sandbox": "a", "image": "oci:image"}));
    let exec = json!({"id": 2, "op": "exec", "sandbox": "a", "command": ["cat", "/etc/base"]});
    steered.tell(&exec);
    drop(steered.input.take());
    assert_eq!(steered.answer(&json!(2))["stdout"], "base\n");
    assert_eq!(steered.ends(), Some(0));

    let mut steered = Steered::start(&ohoci, &[]);
    steered.create("a");
    let script = "sleep 1000 & echo on; sleep 1000";
    steered.tell(&json!({
        "id": 1, "op": "exec", "sandbox": "a", "command": ["sh", "-c", script],
    }));
    // It has begun when a signal reaches it.
    let stop = json!({"id": 2, "op": "kill", "sandbox": "a", "signal": "CONT"});
    while steered.does(&stop)["sent"] != true {}
    kill_process(Pid::from_child(&steered.child), Signal::TERM).unwrap();
    assert_eq!(steered.child.wait().unwrap().code(), Some(130));
    assert_eq!(left(&ohoci), 0);
}
