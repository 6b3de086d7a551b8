//! Rows of other datasets, in the shapes that these have.

use axum::body::Body;
use axum::response::Response;
use serde_json::{Value, json};

use super::scene::{GOLD, ID, Scene, TEST_PATCH};
use super::{COMMENT, MISFIT};
use crate::support::answering::Answering;
use crate::support::command::Outcome;

/// The tests that gold fixes and keeps.
const FIXED: &str = "tests/test_greet.sh::test_nobody";
const KEPT: &str = "tests/test_greet.sh::test_name";

/// A parser in Python, as rows of SWE-bench-Live hold them.
const PARSER: &str = "def parser(log: str) -> dict[str, str]:\n    found = {}\n    for line in log.splitlines():\n        word, _, test = line.partition(' ')\n        if word in ('PASSED', 'FAILED'):\n            found[test.split(' - ')[0]] = 'pass' if word == 'PASSED' else 'fail'\n    return found\n";

/// A program in Python, as SWE-bench Pro has them beside its rows.
const PROGRAM: &str = "import json\nimport sys\n\n\ndef main(out, err, to):\n    tests = []\n    for line in open(out).read().splitlines():\n        word, _, test = line.partition(' ')\n        if word in ('PASSED', 'FAILED'):\n            tests.append({'name': test.split(' - ')[0], 'status': word})\n    assert 'warned' in open(err).read()\n    json.dump({'tests': tests}, open(to, 'w'))\n\n\nif __name__ == '__main__':\n    main(*sys.argv[1:])\n";

fn resolves(outcome: &Outcome) -> bool {
    let one = outcome.stdout.starts_with("gold: 1 of 1 resolved\n");
    assert!(
        one || outcome.stdout.contains(": 0 of 1 resolved\n"),
        "{}{}",
        outcome.stdout,
        outcome.stderr
    );
    one
}

fn live(scene: &Scene) -> Value {
    json!({
        "instance_id": ID, "repo": "pallets/greeter", "base_commit": scene.base_commit,
        "patch": GOLD, "test_patch": TEST_PATCH, "problem_statement": "It greets nobody.",
        "docker_image": format!("starryzhang/sweb.eval.x86_64.{}", "pallets_1776_greeter-1"),
        "rebuild_cmds": ["echo rebuilt > built"], "print_cmds": ["cat reports/log"],
        "test_cmds": ["mkdir reports", "bash run_tests.sh tests/test_greet.sh > reports/log"],
        "log_parser": PARSER, "FAIL_TO_PASS": [FIXED], "PASS_TO_PASS": [KEPT, "not::there"],
    })
}

#[test]
fn rows_of_swe_bench_live_are_run_by_their_commands_and_read_by_their_parser() {
    let image = "starryzhang/sweb.eval.x86_64.pallets_1776_greeter-1:latest";
    let scene = Scene::at("testbed", &[], image);
    scene.dataset(&[live(&scene)]);
    let outcome = scene.run("gold", &[]).exits(0);
    // A test that a log does not name counts on neither side.
    let said = "FAIL_TO_PASS 1/1, PASS_TO_PASS 1/1";
    assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
    assert!(resolves(&outcome));
    scene.predictions(&[(ID, COMMENT)]);
    let outcome = scene.run("preds.jsonl", &[]).exits(4);
    assert!(
        outcome.stdout.contains("FAIL_TO_PASS 0/1"),
        "{}",
        outcome.stdout
    );

    // The older ones have pytest's parser and one command.
    let mut row = live(&scene);
    row["log_parser"] = json!("pytest");
    row["test_cmds"] = json!(["bash run_tests.sh tests/test_greet.sh"]);
    for field in ["print_cmds", "rebuild_cmds", "docker_image"] {
        row.as_object_mut().unwrap().remove(field);
    }
    scene.dataset(&[row]);
    assert!(resolves(&scene.run("gold", &["--fresh"]).exits(0)));
    let report = scene.file("gold", "report.json");
    scene.ohoci.run(["swebench", "report", "r"]).exits(4);
    assert_eq!(scene.file("gold", "report.json"), report);
}

#[test]
fn a_live_row_that_cannot_be_graded_is_told_before_anything_runs() {
    let scene = Scene::new();
    let mut of_windows = live(&scene);
    of_windows["docker_image"] = json!("starryzhang/sweb.eval.win.greeter-1");
    scene.dataset(&[of_windows]);
    let outcome = scene.run("gold", &[]).exits(3);
    let said = format!("{ID} cannot be graded: its image is for Windows");
    assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    scene.dataset(&[live(&scene)]);
    let outcome = scene
        .run("gold", &["--python", "/nothing/python3"])
        .exits(3);
    let said = "cannot be graded: cannot start /nothing/python3";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(!scene.has_file("gold", "test_output.txt"));
}

/// An instance of SWE-bench Pro, without the scripts that are beside its row.
fn pro_row() -> Scene {
    let tag = "pallets.greeter-pallets__greeter-c0ffee";
    let scene = Scene::at("app", &[], &format!("jefzda/sweap-images:{tag}"));
    let apply = super::scene::apply_line(TEST_PATCH);
    scene.dataset(&[json!({
        "instance_id": ID, "repo": "pallets/greeter", "base_commit": scene.base_commit,
        "patch": format!("{GOLD}diff --git a/x.png b/x.png\nindex 1..2\nBinary files a/x.png and b/x.png differ\n"),
        "test_patch": TEST_PATCH, "fail_to_pass": format!("['{FIXED}']"),
        "pass_to_pass": format!("[\"{KEPT}\"]"), "repo_language": "sh",
        "before_repo_set_cmd": format!("git reset --hard {}\ngit clean -fd\n{apply}", scene.base_commit),
        "selected_test_files_to_run": "['tests/test_greet.sh']", "dockerhub_tag": tag,
    })]);
    scene
}

/// The same, with its scripts in `run_scripts`.
pub(super) fn pro_scene() -> Scene {
    let scene = pro_row();
    give_scripts(&scene);
    scene
}

fn give_scripts(scene: &Scene) {
    let folder = format!("work/run_scripts/{ID}");
    scene.ohoci.write(format!("{folder}/parser.py"), PROGRAM);
    scene.ohoci.write(
        format!("{folder}/run_script.sh"),
        "echo warned >&2\nIFS=,\nbash run_tests.sh $1\n",
    );
}

#[test]
fn rows_of_swe_bench_pro_are_run_and_read_by_the_scripts_beside_them() {
    let scene = pro_row();
    let outcome = scene.run("gold", &[]).exits(3);
    assert!(
        outcome.stderr.contains("(--scripts-dir DIR)"),
        "{}",
        outcome.stderr
    );
    give_scripts(&scene);
    let scripts = ["--scripts-dir", "run_scripts"];
    assert!(resolves(&scene.run("gold", &scripts).exits(0)));
    scene.ohoci.run(["swebench", "report", "r"]).exits(0);
    scene.predictions(&[(ID, COMMENT)]);
    let outcome = scene.run("preds.jsonl", &scripts).exits(4);
    let said = "FAIL_TO_PASS 0/1, PASS_TO_PASS 1/1";
    assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
}

/// A package that reads as the real one does: by repository.
const PACKAGE: [(&str, &str); 5] = [
    ("__init__.py", ""),
    ("harness/__init__.py", ""),
    (
        "harness/image.py",
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    need_clone: bool\n    global_env: object\n    clear_env: bool\n",
    ),
    (
        "harness/pull_request.py",
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Base:\n    label: str\n    ref: str\n    sha: str\n\n\n@dataclass\nclass PullRequest:\n    org: str\n    repo: str\n    number: int\n    state: str\n    title: str\n    body: str\n    base: Base\n    resolved_issues: list\n    fix_patch: str\n    test_patch: str\n",
    ),
    (
        "harness/instance.py",
        "import types\n\n\nclass Instance:\n    @classmethod\n    def create(cls, request, config):\n        if (request.org, request.repo) != ('pallets', 'greeter'):\n            raise ValueError('not registered')\n        return cls()\n\n    def parse_log(self, log):\n        of = lambda word: {line.split()[1] for line in log.splitlines() if line.startswith(word)}\n        return types.SimpleNamespace(passed_tests=of('PASSED'), failed_tests=of('FAILED'), skipped_tests=set())\n",
    ),
];

#[test]
fn rows_of_multi_swe_bench_are_run_by_their_images_script_and_read_by_its_package() {
    let script = "#!/bin/bash\nset -e\ncd /home/greeter\ngit apply --whitespace=nowarn /home/test.patch /home/fix.patch\nbash run_tests.sh tests/test_greet.sh\n";
    let files = [
        ("/home/fix-run.sh", script),
        ("/home/test.patch", TEST_PATCH),
        ("/home/fix.patch", "the solution"),
    ];
    let scene = Scene::at("home/greeter", &files, "mswebench/pallets_m_greeter:pr-1");
    let status = |test: &str| json!({"run": "NONE", "test": test, "fix": "PASS"});
    scene.dataset(&[json!({
        "org": "pallets", "repo": "greeter", "number": 1, "state": "closed", "title": "Nobody",
        "body": "", "base": {"label": "x", "ref": "main", "sha": scene.base_commit},
        "resolved_issues": [], "fix_patch": GOLD, "test_patch": TEST_PATCH,
        "fixed_tests": {FIXED: status("FAIL")}, "p2p_tests": {KEPT: status("PASS")},
        "f2p_tests": {FIXED: status("FAIL")}, "s2p_tests": {}, "n2p_tests": {},
        "run_result": {}, "fix_patch_result": {},
        "test_patch_result": {"passed_tests": [KEPT], "failed_tests": [FIXED]},
    })]);
    let evaluate = |predictions: &str| {
        let mut command = scene.command(predictions, &[]);
        Outcome::of(command.env("PYTHONPATH", scene.ohoci.work().join("packages")))
    };
    let outcome = evaluate("gold").exits(3);
    let said = "the package multi_swe_bench, which reads logs of Multi-SWE-bench, cannot be used: ModuleNotFoundError";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let folder = "work/packages/multi_swe_bench";
    for (path, content) in PACKAGE {
        scene.ohoci.write(format!("{folder}/{path}"), content);
    }
    scene
        .ohoci
        .write(format!("{folder}/harness/repos/__init__.py"), "");
    assert!(resolves(&evaluate("gold").exits(0)));
    scene.predictions(&[(ID, COMMENT)]);
    let outcome = evaluate("preds.jsonl").exits(4);
    let said = "FAIL_TO_PASS 0/1, PASS_TO_PASS 1/1";
    assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
    scene.predictions(&[(ID, MISFIT)]);
    let outcome = evaluate("preds.jsonl").exits(4);
    assert!(
        outcome.stdout.contains("patch_failed"),
        "{}",
        outcome.stdout
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn rows_of_swe_gym_are_run_by_its_table() {
    let pytest = (
        "bin/pytest",
        "#!/bin/bash\nexec bash run_tests.sh \"${@:3}\"\n",
    );
    let image = "xingyaoww/sweb.eval.x86_64.getmoto_s_moto-1:latest";
    let scene = Scene::at("testbed", &[pytest], image);
    let mut row = scene.row_of(TEST_PATCH);
    row["instance_id"] = json!("getmoto__moto-1");
    row["repo"] = json!("getmoto/moto");
    row["version"] = json!("4.2");
    row["created_at"] = json!("2023-09-08");
    scene.dataset(&[row]);
    let set = ["--env", "BASH_FUNC_pytest%%=() { bash bin/pytest \"$@\"; }"];
    let outcome = scene.run("gold", &set).exits(0);
    assert!(resolves(&outcome));
}

#[test]
fn files_that_no_patch_holds_are_there_for_the_tests() {
    let scene = Scene::new();
    let test = "[ \"$(cat tests/pictures/a.png)\" = expected ] && bash run_tests.sh";
    let mut row = scene.row_testing(test);
    let asset = json!({"path": "tests/pictures/a.png", "url": "http://127.0.0.1:9/a.png"});
    row["image_assets"] = json!({"problem_statement": [], "test_patch": [asset]})
        .to_string()
        .into();
    scene.dataset(&[row]);
    let outcome = scene.run("gold", &[]).exits(3);
    let said = format!(
        "{ID} cannot be graded: its file tests/pictures/a.png (image_assets) cannot be had: "
    );
    assert!(outcome.stderr.contains(&said), "{}", outcome.stderr);
    assert!(!scene.has_file("gold", "test_output.txt"));
    let given = format!("work/assets/{ID}/tests/pictures/a.png");
    scene.ohoci.write(given, "expected");
    assert!(resolves(
        &scene.run("gold", &["--assets", "assets"]).exits(0)
    ));
    let script = scene.file("gold", "eval.sh");
    let line = "\nmkdir -p 'tests/pictures' && cp /image_assets/0 'tests/pictures/a.png'\n";
    assert!(script.contains(line), "{script}");

    let server = Answering::start(|request| {
        let (status, body) = match request.target.as_str() {
            "/raw/a.png" => (200, "expected"),
            _ => (404, "not there"),
        };
        let answer = Response::builder().status(status);
        Some(answer.body(Body::from(body)).unwrap())
    });
    let mut row = scene.row_testing(test);
    let url = format!("http://{}/raw/a.png", server.host());
    row["image_assets"] = json!({"test_patch": [{"path": "tests/pictures/a.png", "url": url}]});
    scene.dataset(&[row]);
    assert!(resolves(&scene.run("gold", &["--fresh"]).exits(0)));
}
