//! What has gone wrong elsewhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{GOLD, ID, Scene, TEST_PATCH};
use super::{COMMENT, SLEEPER};

/// Far more than anything here takes, far less than the sleepers sleep.
const SOON: Duration = Duration::from_secs(120);

fn outcome(scene: &Scene, predictions: &str, flags: &[&str]) -> Value {
    let flags = [flags, &["--format", "json"]].concat();
    let outcome = scene.run(predictions, &flags);
    let outcomes: Vec<Value> = serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|_| panic!("{}{}", outcome.stdout, outcome.stderr));
    assert_eq!(outcomes.len(), 1);
    outcomes[0].clone()
}

#[test]
fn the_scripts_own_exit_code_says_nothing() {
    let scene = Scene::new();
    // The script ends by putting back files that its patch has added, which fails.
    let added = "diff --git a/tests/test_new.sh b/tests/test_new.sh\nnew file mode 100644\n--- /dev/null\n+++ b/tests/test_new.sh\n@@ -0,0 +1,3 @@\n+test_nobody() {\n+  . ./greet.sh; [ \"$(greet)\" = 'hello world' ]\n+}\n";
    let mut row = scene.row();
    let script = row["eval_script"].as_str().unwrap().to_owned();
    let script = script
        .replace(TEST_PATCH, added)
        .replace("tests/test_greet.sh\n", "tests/test_new.sh\n");
    row["test_patch"] = json!(added);
    row["eval_script"] = json!(script);
    row["FAIL_TO_PASS"] = json!(["tests/test_new.sh::test_nobody"]);
    row["PASS_TO_PASS"] = json!([]);
    scene.dataset(&[row]);
    let gold = outcome(&scene, "gold", &[]);
    assert_eq!(
        gold["status"],
        "resolved",
        "{}",
        scene.file("gold", "test_output.txt")
    );
    let log = scene.file("gold", "test_output.txt");
    assert!(log.contains("error: pathspec 'tests/test_new.sh'"), "{log}");
}

#[test]
fn both_streams_come_in_the_order_in_which_they_are_written() {
    let scene = Scene::new();
    scene.dataset(&[scene.row_testing("echo out; echo err >&2; echo out; bash run_tests.sh")]);
    outcome(&scene, "gold", &[]);
    let log = scene.file("gold", "test_output.txt");
    let order =
        "+ : '>>>>> Start Test Output'\n+ echo out\nout\n+ echo err\nerr\n+ echo out\nout\n";
    assert!(log.contains(order), "{log}");
    assert!(log.contains(">>>>> Test Exit Code: 0"), "{log}");
}

#[test]
fn a_patch_that_edits_the_tests_gains_nothing_by_it() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let cheat = "diff --git a/tests/test_greet.sh b/tests/test_greet.sh\n--- a/tests/test_greet.sh\n+++ b/tests/test_greet.sh\n@@ -1,3 +1,7 @@\n test_name() {\n-  . ./greet.sh; [ \"$(greet you)\" = 'hello you' ]\n+  true\n+}\n+\n+test_nobody() {\n+  true\n }\n";
    scene.predictions(&[(ID, cheat)]);
    let found = outcome(&scene, "preds.jsonl", &[]);
    assert_eq!(found["status"], "unresolved");
    assert_eq!(found["overwrittenFiles"], json!(["tests/test_greet.sh"]));
}

#[test]
fn a_patch_that_adds_files_applies_and_one_run_sees_nothing_of_another() {
    let scene = Scene::new();
    let mut second = scene.row();
    second["instance_id"] = json!("pallets__other-1");
    // Whatever the first run leaves would be found by the second.
    let test = "[ ! -e /left ] && : > /left && : > /testbed/left && bash run_tests.sh";
    let script = scene.row_testing(test)["eval_script"].clone();
    let mut first = scene.row();
    first["eval_script"] = script.clone();
    second["eval_script"] = script;
    scene.dataset(&[first, second]);
    let adds = format!(
        "{GOLD}diff --git a/new/file b/new/file\nnew file mode 100644\n--- /dev/null\n+++ b/new/file\n@@ -0,0 +1 @@\n+x\n"
    );
    scene.predictions(&[(ID, &adds), ("pallets__other-1", &adds)]);
    let flags = ["--cache_level", "instance"];
    scene.run("preds.jsonl", &flags).exits(0);
    scene
        .run("preds.jsonl", &[&flags[..], &["--fresh"]].concat())
        .exits(0);
}

#[test]
fn a_patch_to_what_git_refuses_is_applied_by_nothing() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    // patch would change it, and git would then run what it names.
    let own = "--- a/.git/config\n+++ b/.git/config\n@@ -1 +1,2 @@\n [core]\n+\tfsmonitor = /testbed/x.sh\n";
    let link = "diff --git a/way b/way\nnew file mode 120000\n--- /dev/null\n+++ b/way\n@@ -0,0 +1 @@\n+/opt\n\\ No newline at end of file\ndiff --git a/way/x b/way/x\nnew file mode 100644\n--- /dev/null\n+++ b/way/x\n@@ -0,0 +1 @@\n+x\n";
    let outside = "--- /dev/null\n+++ b/../opt/x\n@@ -0,0 +1 @@\n+x\n";
    for (patch, file, why) in [
        (
            own,
            "a/.git/config",
            "it belongs to git itself, which refuses patches to it",
        ),
        (
            link,
            "way/x",
            "it lies behind a symlink that the patch makes",
        ),
        (outside, "b/../opt/x", "its path leads upwards with `..`"),
    ] {
        scene.predictions(&[(ID, &format!("{GOLD}{patch}"))]);
        let found = outcome(&scene, "preds.jsonl", &["--fresh"]);
        assert_eq!(found["status"], "patch_failed", "{found}");
        assert_eq!(found["patchProblems"], json!([{"file": file, "why": why}]));
        let log = scene.file("org__m", "run_instance.log");
        assert!(
            log.contains(&format!(">>>>> Patch Apply Failed:\n{file}: {why}")),
            "{log}"
        );
        assert!(!log.contains("Failed to apply patch to container"), "{log}");
        assert_eq!(scene.summary("org__m")["error_ids"], json!([ID]));
    }
}

/// What an evaluation's script tries, with what is to be seen of it.
const ATTACK: &str = r#"set +x
echo "rights: $(busybox grep -hE '^(NoNewPrivs|Seccomp):' /proc/self/status | busybox tr -d '\n\t')"
echo "descriptors: $(busybox ls /proc/self/fd | busybox tr '\n' ' ')"
for file in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /eval.sh; do
  (: >> $file) 2> /dev/null && echo "escaped: $file"
done
busybox mknod /device c 1 5 2> /dev/null && echo "escaped: a device"
busybox mount -t tmpfs none /mnt 2> /dev/null && echo "escaped: a mount"
busybox unshare -r true 2> /dev/null && echo "escaped: a namespace"
busybox rm -f /eval.sh 2> /dev/null && echo "escaped: the script"
kill -0 OUTSIDE 2> /dev/null && echo "escaped: a signal"
(: > "ELSEWHERE/made") 2> /dev/null && echo "escaped: a file"
busybox ln -sfn ELSEWHERE /over; busybox ln -sfn ELSEWHERE /tmp/over; busybox ln -sfn ELSEWHERE/log /test_output.txt
(busybox sleep 600; : > ELSEWHERE/late) > /dev/null 2>&1 &
echo "tried"
set -x
bash run_tests.sh"#;

#[test]
fn what_a_script_tries_reaches_nothing_outside() {
    let scene = Scene::new();
    let elsewhere = scene.ohoci.work().join("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    let attack = ATTACK
        .replace("OUTSIDE", &std::process::id().to_string())
        .replace("ELSEWHERE", elsewhere.to_str().unwrap());
    scene.dataset(&[scene.row_testing(&attack)]);
    let found = outcome(&scene, "gold", &[]);
    let log = scene.file("gold", "test_output.txt");
    assert_eq!(found["status"], "resolved", "{log}");
    for said in [
        "\nrights: NoNewPrivs:1Seccomp:2\n",
        "\ndescriptors: 0 1 2 3 \n",
        "\ntried\n",
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(!log.contains("\nescaped: "), "{log}");
    assert_eq!(fs_err::read_dir(&elsewhere).unwrap().count(), 0);
}

#[test]
fn line_ends_that_differ_are_named() {
    let scene = Scene::with(&[("notes.txt", "one\r\ntwo\r\n")]);
    scene.dataset(&[scene.row()]);
    let patch = "diff --git a/notes.txt b/notes.txt\n--- a/notes.txt\n+++ b/notes.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n";
    scene.predictions(&[(ID, patch)]);
    let found = outcome(&scene, "preds.jsonl", &[]);
    assert_eq!(found["status"], "patch_failed");
    assert_eq!(
        found["patchProblems"],
        json!([{"file": "notes.txt", "hunk": 1, "why": "the lines of the file end in CRLF, those of the patch in LF"}])
    );
    let both = patch.replace(" one\n-two\n+2\n", " one\r\n-two\r\n+2\r\n");
    scene.predictions(&[(ID, &format!("{both}{GOLD}"))]);
    assert_eq!(outcome(&scene, "preds.jsonl", &[])["status"], "resolved");
}

#[test]
fn a_link_into_the_environment_works_as_tox_makes_it() {
    let scene = Scene::new();
    let tox =
        "mkdir -p .tox/bin && ln -s /bin/bash .tox/bin/python && .tox/bin/python run_tests.sh";
    scene.dataset(&[scene.row_testing(
        &tox.replace("mkdir", "busybox mkdir")
            .replace("ln", "busybox ln"),
    )]);
    assert_eq!(outcome(&scene, "gold", &[])["status"], "resolved");
}

#[test]
fn a_hundred_megabytes_of_output_are_read() {
    let scene = Scene::new();
    let loud = "busybox yes 'a line of no interest' | busybox head -c 100000000; bash run_tests.sh";
    scene.dataset(&[scene.row_testing(loud)]);
    assert_eq!(outcome(&scene, "gold", &[])["status"], "resolved");
    assert!(scene.file("gold", "test_output.txt").len() > 100_000_000);
}

#[test]
fn a_sleeper_is_killed_with_all_that_it_started() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, SLEEPER)]);
    let started = Instant::now();
    let found = outcome(&scene, "preds.jsonl", &["--timeout", "3"]);
    assert!(started.elapsed() < SOON);
    assert_eq!(found["status"], "timeout");
    let log = scene.file("org__m", "test_output.txt");
    assert!(
        log.ends_with("\n\nTimeout error: 3 seconds exceeded."),
        "{log}"
    );
    assert!(!scene.has_file("org__m", "report.json"));
}

#[test]
fn what_runs_on_in_the_background_holds_nothing_up() {
    let scene = Scene::new();
    scene.dataset(&[scene.row_testing("busybox sleep 600 & bash run_tests.sh")]);
    let started = Instant::now();
    assert_eq!(outcome(&scene, "gold", &[])["status"], "resolved");
    assert!(started.elapsed() < SOON);
}

#[test]
fn a_fork_bomb_stays_within_its_limit() {
    let scene = Scene::new();
    let bomb = "b() { b | b & }; b; busybox sleep 600";
    scene.dataset(&[scene.row_testing(bomb)]);
    let started = Instant::now();
    let found = outcome(&scene, "gold", &["--timeout", "5", "--pids", "50"]);
    assert!(started.elapsed() < SOON);
    assert!(
        ["timeout", "unresolved"].contains(&found["status"].as_str().unwrap()),
        "{found}"
    );
}

#[test]
fn a_memory_hog_is_told_from_a_failing_test_where_memory_is_limited() {
    let scene = Scene::new();
    let hog = "x=$(busybox yes | busybox head -c 400000000); bash run_tests.sh";
    scene.dataset(&[scene.row_testing(hog)]);
    let output = scene.run("gold", &["--memory", "100M"]);
    let is_killed = output.stdout.contains("  oom ");
    // A shell that can have no more than this may end by itself, just before that is noticed.
    let may_fail = output.stderr.contains("only by looking ten times a second");
    assert!(
        is_killed || may_fail && output.stdout.contains("  unresolved "),
        "{}{}",
        output.stdout,
        scene.file("gold", "test_output.txt")
    );
    // Upstream's summary would take a report for a verdict.
    assert_eq!(scene.has_file("gold", "report.json"), !is_killed);
}

#[test]
fn who_writes_too_much_is_killed_and_graded_by_nobody() {
    let scene = Scene::new();
    let bytes = "i=0; while :; do busybox head -c 100000 /dev/zero > /$i; i=$((i+1)); done; true";
    scene.dataset(&[scene.row_testing(bytes)]);
    let found = outcome(&scene, "gold", &["--disk", "5M"]);
    assert_eq!(found["status"], "disk");
    assert_eq!(
        found["why"],
        "the disk limit of 5 MiB was exceeded (--disk raises it)"
    );
    assert!(!scene.has_file("gold", "report.json"));
    let files = "i=0; while :; do : > /$i; i=$((i+1)); done; true";
    scene.dataset(&[scene.row_testing(files)]);
    let found = outcome(&scene, "gold", &["--inodes", "500"]);
    assert_eq!(found["status"], "disk", "{found}");
    assert_eq!(scene.summary("gold")["error_ids"], json!([ID]));
}

#[test]
fn a_script_that_somebody_kills_is_told_of() {
    let scene = Scene::new();
    scene.dataset(&[scene.row_testing("kill -9 $$")]);
    let found = outcome(&scene, "gold", &[]);
    assert!(
        found["why"].as_str().unwrap().contains("SIGKILL"),
        "{found}"
    );
}

#[test]
fn there_is_no_network_unless_it_is_asked_for() {
    let scene = Scene::new();
    let test = "busybox ls /proc/sys/net/ipv4/conf; bash run_tests.sh";
    scene.dataset(&[scene.row_testing(test)]);
    outcome(&scene, "gold", &[]);
    let log = scene.file("gold", "test_output.txt");
    assert!(
        log.contains("\nall\ndefault\nlo\nPASSED") || log.contains("\nall\ndefault\nlo\n+ bash"),
        "{log}"
    );
}

#[test]
fn who_follows_sees_the_tests_at_work() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, COMMENT)]);
    let seen = scene.run("preds.jsonl", &["--follow"]).exits(4).stderr;
    let line = format!("{ID} | FAILED tests/test_greet.sh::test_nobody - it does not\n");
    assert!(seen.contains(&line), "{seen}");
}

#[test]
fn a_script_that_is_killed_is_known_as_killed() {
    let scene = Scene::new();
    for (test, what) in [
        ("kill -9 $$", "the script was killed (SIGKILL)"),
        (
            "bash -c 'kill -11 $$'",
            "the test command was killed (SIGSEGV)",
        ),
    ] {
        scene.dataset(&[scene.row_testing(test)]);
        let found = outcome(&scene, "gold", &[]);
        assert_eq!(found["status"], "unresolved", "{found}");
        let why = found["why"].as_str().unwrap();
        assert!(why.starts_with(what), "{why}");
        assert!(found["signal"].is_u64(), "{found}");
    }
}

#[test]
fn what_may_help_is_told_with_what_the_log_says() {
    let scene = Scene::new();
    let test = "echo 'curl: (6) Could not resolve host: registry.example'; echo FAILED x";
    scene.dataset(&[scene.row_testing(test)]);
    let run = scene.run("gold", &[]).exits(4);
    let said =
        "hint: something reached for a network, which --network gives; the log says: curl: (6)";
    assert!(run.stdout.contains(said), "{}", run.stdout);
    for kind in ["json", "xml", "md", "html"] {
        let file = format!("evaluation_results/gold.r.{kind}");
        let text = fs_err::read_to_string(scene.ohoci.work().join(file)).unwrap();
        assert!(text.contains("reached for a network"), "{kind}: {text}");
    }
}

#[test]
fn what_nobody_can_grade_is_told_before_it_is_run() {
    let scene = Scene::new();
    let mut row = scene.row();
    row["log_parser"] = json!("parse_log_make");
    scene.dataset(&[row]);
    let run = scene.run("gold", &[]).exits(3);
    let said = "--grader upstream may know it";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(!scene.has_file("gold", "test_output.txt"));
}

#[test]
fn paths_that_begin_elsewhere_are_told() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    let why = |patch: &str| {
        scene.predictions(&[(ID, patch)]);
        let found = outcome(&scene, "preds.jsonl", &[]);
        assert_eq!(found["status"], "patch_failed", "{found}");
        found["why"].as_str().unwrap().to_owned()
    };
    let said = why(&GOLD.replace("/greet.sh", "/testbed/greet.sh"));
    assert!(
        said.contains("there is no such file, but greet.sh"),
        "{said}"
    );
}

#[test]
fn a_script_with_windows_line_ends_is_not_run() {
    let scene = Scene::new();
    let mut row = scene.row();
    let script = row["eval_script"].as_str().unwrap().replace('\n', "\r\n");
    row["eval_script"] = json!(script);
    scene.dataset(&[row]);
    let run = scene.run("gold", &[]).exits(3);
    assert!(run.stderr.contains("end in CRLF"), "{}", run.stderr);
    assert!(!scene.has_file("gold", "test_output.txt"));
}

#[test]
fn a_network_that_leads_nowhere_has_a_way_out_that_gives_no_answer() {
    let scene = Scene::new();
    let route = "[ \"$(busybox awk 'NR==2 {print $1, $2}' /proc/net/route)\" = 'lo 00000000' ]";
    let test = format!(
        "{route} || exit 9; busybox timeout 1 busybox nc 10.255.255.1 80; [ $? = 143 ] || exit 8; bash run_tests.sh"
    );
    scene.dataset(&[scene.row_testing(&test)]);
    let found = outcome(&scene, "gold", &["--network", "dead-end"]);
    assert_eq!(
        found["status"],
        "resolved",
        "{}",
        scene.file("gold", "test_output.txt")
    );
    // The same outcome is not taken for another network's.
    let found = outcome(&scene, "gold", &[]);
    assert_eq!(found["status"], "unresolved");
}
