//! `ohoci swebench images` and `audit-leak`, on a small repository with a past and a future.

mod base;
mod conda;
mod hostile;
mod places;
mod recipe;
mod scale;
mod scene;

use serde_json::{Value, json};

use crate::support::command::Ohoci;
use scene::{IMAGE, Scene};

/// The levels of an instance's report.
fn levels(report: &Value, number: usize) -> Vec<(&str, &str, bool)> {
    let levels = report["instances"][number]["levels"].as_array().unwrap();
    levels
        .iter()
        .map(|level| {
            (
                level["level"].as_str().unwrap(),
                level["digest"].as_str().unwrap(),
                level["fromCache"].as_bool().unwrap(),
            )
        })
        .collect()
}

fn digests(report: &Value) -> Vec<String> {
    let instances = report["instances"].as_array().unwrap();
    instances
        .iter()
        .map(|instance| instance["pushed"][0]["digest"].as_str().unwrap().to_owned())
        .collect()
}

/// Sizes by level, what all layers have together, and what instances have beyond their environments.
fn what_is_told_of_bytes_adds_up(report: &Value) {
    let number = |value: &Value| value.as_u64().unwrap();
    let own = |instance: usize, level: &str| {
        let levels = report["instances"][instance]["levels"].as_array().unwrap();
        let of_level = levels.iter().filter(|one| one["level"] == level);
        of_level.map(|one| number(&one["size"])).sum::<u64>()
    };
    let levels = report["levels"].as_array().unwrap();
    let sum: u64 = levels.iter().map(|level| number(&level["size"])).sum();
    assert_eq!(number(&report["storedBytes"]), sum);
    assert_eq!(levels[0]["level"], "base");
    for level in &levels[1..] {
        assert!(number(&level["uncompressed"]) >= number(&level["size"]));
    }
    let (first, second) = (own(0, "instance"), own(1, "instance"));
    let beyond = own(0, "history") + first + second;
    let expected = json!([{
        "repository": "example/tool",
        "instances": 2,
        "size": beyond,
        "sizePerInstance": beyond / 2,
        "mostUniqueBytes": first.max(second),
        "estimated": false,
        "unknownLayers": 0,
    }]);
    assert_eq!(report["repositories"], expected);
    assert_eq!(report["instances"][1]["uniqueBytes"], second);
}

const BOTH: [&str; 2] = ["example__tool-1", "example__tool-2"];

#[test]
fn instances_are_built_level_by_level_and_share_what_they_can() {
    let scene = Scene::new();
    let report = scene.built(&BOTH, &["--all-levels"]);
    let (one, two) = (levels(&report, 0), levels(&report, 1));
    let names: Vec<&str> = one.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names, ["python", "environment", "history", "instance"]);
    assert_eq!(one[..3], two[..3], "everything but the instance is shared");
    assert_ne!(one[3].1, two[3].1);
    assert!(report["sharedBytes"].as_u64().unwrap() > 0);
    what_is_told_of_bytes_adds_up(&report);

    let image = format!("oci:images:{IMAGE}");
    let said = scene.says(
        &image,
        "git describe; git status --porcelain; git remote; git log -1 --format=%s; \
         git log --all -1 --format=%s; git tag; git branch --format='%(refname:short)'; cat tests.txt; \
         python -c 'import tool, example_package; print(tool.VALUE, example_package.VALUE, tool.__file__)'; \
         ls -d .git/logs 2>/dev/null || true; ls /root/requirements.txt 2>/dev/null || true",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("v1.0-2-g"), "{said}");
    assert_eq!(
        lines[1..],
        [
            "SWE-bench",
            "SWE-bench",
            "light",
            "v1.0",
            "trunk",
            "# one",
            "# two",
            "1 42 /testbed/tool.py"
        ],
        "{said}"
    );
    let second = "oci:images:swebench/sweb.eval.x86_64.example_1776_tool-2:latest";
    let said = scene.says(
        second,
        "git tag; python -c 'import tool; print(tool.VALUE)'",
    );
    assert_eq!(said, "light\nv1.0\n2\n");
    let environment = report["instances"][0]["environmentImage"].as_str().unwrap();
    for image in [environment, "sweb.base.py.x86_64:latest"] {
        scene
            .ohoci
            .run(["inspect", &format!("oci:images:{image}")])
            .exits(0);
    }

    for (image, commit) in [(image.as_str(), &scene.first), (second, &scene.second)] {
        let audit = scene.ohoci.run(["swebench", "audit-leak", image]).exits(0);
        assert!(audit.stdout.contains(commit.as_str()), "{}", audit.stdout);
    }

    // From the cache, and anew: the same bytes.
    let again = scene.built(&BOTH, &[]);
    assert!(levels(&again, 0).iter().all(|(.., from_cache)| *from_cache));
    assert_eq!(
        again["instances"][0]["pushed"][0],
        report["instances"][0]["pushed"][0]
    );
    let anew = scene.built(&BOTH[..1], &["--cache-dir", "other", "--keep-unpacked"]);
    assert!(levels(&anew, 0).iter().all(|(.., from_cache)| !*from_cache));
    assert_eq!(digests(&anew)[0], digests(&again)[0]);
}

#[test]
fn an_install_that_fails_keeps_its_log_and_the_others_are_built() {
    let scene = Scene::new();
    let ids = ["example__tool-1", "example__tool-3", "example__other-4"];
    let outcome = scene
        .images(&ids, &["--push", "dir:roots", "--namespace", ""])
        .exits(3);
    for words in [
        "example__tool-3: level instance: run setup_repo.sh",
        "exit code 3",
        "| it is broken",
        "logs/build_images/instances/sweb.eval.x86_64.example__tool-3__latest/build_image.log",
        "example__other-4: level env: plan the environment\n  nothing says how example/other 1.0 is installed",
        "--specs",
    ] {
        assert!(
            outcome.stderr.contains(words),
            "{words}: {}",
            outcome.stderr
        );
    }
    let logs = scene.ohoci.work().join("logs/build_images");
    let folder = logs.join("instances/sweb.eval.x86_64.example__tool-3__latest");
    let log = fs_err::read_to_string(folder.join("build_image.log")).unwrap();
    assert!(log.contains("it is broken"), "{log}");
    let script = fs_err::read_to_string(folder.join("setup_repo.sh")).unwrap();
    assert!(script.contains("conda activate testbed\n"), "{script}");
    assert!(!script.contains("git clone"), "{script}");
    let environments: Vec<_> = fs_err::read_dir(logs.join("env")).unwrap().collect();
    assert_eq!(environments.len(), 2, "Python's and the environment's");

    let root = scene
        .ohoci
        .work()
        .join("roots/sweb.eval.x86_64.example__tool-1__latest");
    let head = fs_err::read_to_string(root.join("testbed/.git/HEAD")).unwrap();
    assert_eq!(head, "ref: refs/heads/trunk\n");
    assert!(root.join("bin/bash").is_file());
}

#[test]
fn what_a_build_runs_is_limited_and_the_limit_is_named() {
    let scene = Scene::new();
    for (flags, words) in [
        (
            ["--inodes", "1"],
            "the limit of 1 files and directories was exceeded",
        ),
        (["--disk", "1K"], "the disk limit of 1 KiB was exceeded"),
        (["--timeout", "0.001"], "the time limit of 1ms was exceeded"),
    ] {
        let all = [&["--push", "oci:images"], &flags[..]].concat();
        let outcome = scene.images(&BOTH[..1], &all).exits(1);
        for words in [words, &format!("hint: {} raises it", flags[0])] {
            assert!(outcome.stderr.contains(words), "{}", outcome.stderr);
        }
    }
}

#[test]
fn an_audit_finds_what_is_newer_wherever_it_hides() {
    let scene = Scene::new();
    let planted = scene.ohoci.work().join("planted");
    scene.repository().clone_to(&planted);
    let clone = scene::Repository(planted);
    clone.git(&["update-ref", "--no-deref", "HEAD", &scene.first], 9);
    // Referred to by nothing any more, and still there.
    clone.git(&["branch", "--quiet", "-D", "trunk"], 9);
    let compose = |layer: &str, tag: &str| {
        let layer = format!("{layer}:/testbed");
        let target = format!("oci:leaks:{tag}");
        let words = [
            "compose",
            "--base",
            "oci:base:1",
            "--layer",
            &layer,
            "--push",
            &target,
        ];
        scene.ohoci.run(words).exits(0);
        target
    };
    let leaking = compose("planted", "leaking");
    let audit = |image: &str| {
        let words = [
            "swebench",
            "audit-leak",
            image,
            "--base-commit",
            &scene.first,
            "--format",
            "json",
        ];
        scene.ohoci.run(words)
    };
    let found = audit(&leaking).exits(4).json();
    let of_kind = |found: &Value, kind: &str| -> Vec<String> {
        let all = found["findings"].as_array().unwrap().iter();
        let kind = all.filter(|finding| finding["kind"] == kind);
        kind.map(|finding| finding["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut commits = of_kind(&found, "commit");
    commits.sort();
    let mut expected = [scene.second.clone(), scene.future.clone()];
    expected.sort();
    assert_eq!(commits, expected);
    assert_eq!(of_kind(&found, "tag").len(), 1, "{found}");
    for kind in ["object", "reference", "reflog", "remote"] {
        assert!(!of_kind(&found, kind).is_empty(), "{kind}: {found}");
    }

    // Only what leads there: a log that names what is gone.
    let only_past = scene.ohoci.work().join("past");
    fs_err::create_dir(&only_past).unwrap();
    let past = scene::Repository(only_past.clone());
    past.git(&["init", "--quiet"], 0);
    let source = scene.repository().0.display().to_string();
    past.git(
        &[
            "fetch",
            "--quiet",
            "--no-tags",
            &source,
            "refs/heads/other:refs/heads/x",
        ],
        9,
    );
    let commit = past.git(&["rev-parse", "x"], 9);
    past.git(&["update-ref", "HEAD", &commit], 9);
    fs_err::remove_file(only_past.join(".git/FETCH_HEAD")).unwrap();
    let logs = only_past.join(".git/logs/refs/heads");
    fs_err::create_dir_all(&logs).unwrap();
    let line = format!(
        "{commit} {} X <x@registry.example> 1 +0000\tpull",
        scene.future
    );
    fs_err::write(logs.join("x"), line).unwrap();
    let image = compose("past", "past");
    let words = [
        "swebench",
        "audit-leak",
        &image,
        "--base-commit",
        &commit,
        "--format",
        "json",
    ];
    let found = scene.ohoci.run(words).exits(4).json();
    let names = of_kind(&found, "reflog");
    assert_eq!(
        names,
        [format!("logs/refs/heads/x: {}", scene.future)],
        "{found}"
    );
    assert_eq!(found["findings"].as_array().unwrap().len(), 1, "{found}");
}

#[test]
fn a_plan_needs_no_base_and_has_upstreams_names() {
    let ohoci = Ohoci::new();
    let rows = [
        r#"{"instance_id":"sympy__sympy-1","repo":"sympy/sympy","version":"1.12","base_commit":"a"}"#,
        r#"{"instance_id":"pallets__flask-5014","repo":"pallets/flask","version":"2.3","base_commit":"a"}"#,
    ];
    ohoci.write("work/rows.jsonl", rows.join("\n"));
    let words = [
        "swebench",
        "images",
        "-d",
        "rows.jsonl",
        "--dry-run",
        "--format",
        "json",
    ];
    let plan = ohoci.run(words).exits(0).json();
    let environments: Vec<&str> = plan["environments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|environment| environment["image"].as_str().unwrap())
        .collect();
    assert_eq!(
        environments,
        [
            "sweb.env.py.x86_64.c795f4b88616b8462021ed:latest",
            "sweb.env.py.x86_64.2bad0f5ce546a731bf98b1:latest"
        ]
    );
    assert_eq!(
        plan["instances"][1]["image"],
        "swebench/sweb.eval.x86_64.pallets_1776_flask-5014:latest"
    );
}

#[test]
fn a_plan_names_packages_of_the_system_that_the_base_lacks() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let text = fs_err::read_to_string(work.join("specs.json")).unwrap();
    let script = "apt-get update && apt-get install -y example-one example-two";
    let specs = text.replacen("sed -i 's/^/# /' tests.txt", script, 1);
    assert_ne!(specs, text);
    scene.ohoci.write("work/specs.json", specs);
    let more = ["--dry-run", "--format", "json"];
    let plan = scene.images(&BOTH, &more).exits(3).json();
    let lacking = json!(["example-one", "example-two"]);
    assert_eq!(plan["lackingPackages"], lacking);
    let refused =
        "its pre_install needs example-one, example-two from the system, and the base lacks that";
    assert_eq!(plan["instances"][0]["refused"], refused);

    let status = "Package: example-one\nStatus: install ok installed\n\n\
                  Package: example-two\nStatus: deinstall ok config-files\n";
    scene.ohoci.write("work/list/status", status);
    let words = [
        "compose",
        "--base",
        "oci:base:1",
        "--layer",
        "list:/var/lib/dpkg",
        "--push",
        "oci:listed:1",
    ];
    scene.ohoci.run(words).exits(0);
    let outcome = scene.images_on(&["--base-image", "oci:listed:1"], &BOTH, &["--dry-run"]);
    let said = "2 instances need packages of the system, and the base lacks example-two";
    let outcome = outcome.exits(3);
    assert!(outcome.stdout.contains(said), "{}", outcome.stdout);
}

#[test]
fn a_plan_tells_bytes_and_how_they_are_known() {
    let scene = Scene::new();
    let plan = || {
        let more = ["--dry-run", "--format", "json"];
        scene.images(&BOTH, &more).exits(0).json()
    };
    let level = |plan: &Value, name: &str| {
        let levels = plan["levels"].as_array().unwrap();
        levels
            .iter()
            .find(|level| level["level"] == name)
            .unwrap()
            .clone()
    };
    let before = plan();
    assert!(level(&before, "base")["size"].as_u64().unwrap() > 0);
    assert_eq!(level(&before, "environment")["unknownLayers"], 1);
    let history = level(&before, "history");
    assert_eq!(
        (&history["layers"], &history["estimatedLayers"]),
        (&1.into(), &1.into())
    );
    assert!(history["estimated"].as_u64().unwrap() > 0);
    let own = &before["instances"][0]["levels"][1];
    assert_eq!(own["basis"], "commitsAndWorkTree");
    assert!(own["size"].as_u64().unwrap() > 0);
    assert_eq!(before["total"]["unknownLayers"], 2, "{before}");
    assert_eq!(before["repositories"][0]["estimated"], true);

    let built = scene.built(&BOTH, &[]);
    let after = plan();
    for (number, name) in ["python", "environment"].into_iter().enumerate() {
        let known = &after["environments"][0]["levels"][number];
        assert_eq!(
            (&known["level"], &known["basis"]),
            (&name.into(), &"cache".into())
        );
        assert_eq!(
            known["size"],
            built["instances"][0]["levels"][number]["size"]
        );
    }
    let environment = level(&after, "environment");
    let built_size = &built["instances"][0]["levels"][1]["uncompressed"];
    assert_eq!(&environment["uncompressed"], built_size);
    assert_eq!(after["repositories"], {
        let mut expected = built["repositories"].clone();
        expected[0]["estimated"] = true.into();
        expected
    });
    let levels = &after["instances"][1]["levels"];
    assert_eq!(levels[0]["basis"], "cache");
    assert_eq!(levels[1]["basis"], "builtBefore");
    assert_eq!(
        levels[1]["size"],
        built["instances"][1]["levels"][3]["size"]
    );
}

#[test]
fn packages_that_no_index_has_are_named_with_who_needs_them_and_the_way_out() {
    let ohoci = Ohoci::new();
    // An instance of Verified, whose environment is known.
    let row = r#"{"instance_id":"pydata__xarray-2905","repo":"pydata/xarray","version":"0.12","base_commit":"a"}"#;
    ohoci.write("work/rows.jsonl", row);
    let plan = ["swebench", "images", "-d", "rows.jsonl", "--dry-run"];
    let said = ohoci.run(plan).exits(0).stdout;
    for words in [
        "1 instances need conda packages that no Python package index has",
        "  cdms2: pydata__xarray-2905\n",
        "--leave-out cdat_info,cdms2,cdtime,esmpy,libcdms,libcf\n",
        "1 unknown",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let without = ["--leave-out", "cdat_info,cdms2,cdtime,esmpy,libcdms,libcf"];
    let said = ohoci.run([&plan[..], &without].concat()).exits(0).stdout;
    assert!(!said.contains("cdms2"), "{said}");
}

#[test]
fn patches_are_baked_in_only_under_another_name() {
    let scene = Scene::new();
    let ids = ["example__tool-1"];
    let baked = ["--push", "oci:images", "--with-patches", "gold"];
    let refused = scene.images(&ids, &baked).exits(2);
    assert!(refused.stderr.contains("--tag"), "{}", refused.stderr);
    scene
        .images(&ids, &[&baked[..], &["--tag", "gold"]].concat())
        .exits(0);
    let image = "oci:images:swebench/sweb.eval.x86_64.example_1776_tool-1:gold";
    let said = scene.says(
        image,
        "git status --porcelain; python -c 'import tool; print(tool.VALUE)'",
    );
    assert_eq!(said, " M tool.py\n?? tests.py\n3\n");
}

#[test]
fn a_base_without_git_is_refused_by_name() {
    let scene = Scene::new();
    fs_err::remove_file(scene.ohoci.work().join("root/bin/git")).unwrap();
    let words = [
        "compose",
        "--base",
        "scratch",
        "--layer",
        "root",
        "--push",
        "oci:base:1",
    ];
    scene.ohoci.run(words).exits(0);
    let outcome = scene
        .images(&["example__tool-1"], &["--push", "oci:images"])
        .exits(1);
    assert!(
        outcome.stderr.contains("the base image has no git"),
        "{}",
        outcome.stderr
    );
}

/// Reads as pytest's summary: the one test passes when the answer is there.
const SCRIPT: &str = "#!/bin/bash
set -uxo pipefail
source /opt/miniconda3/bin/activate
conda activate testbed
cd /testbed
git apply -v - <<'EOF_114329324912'
diff --git a/tests.py b/tests.py
new file mode 100644
--- /dev/null
+++ b/tests.py
@@ -0,0 +1 @@
+import tool
EOF_114329324912
: '>>>>> Start Test Output'
python -c 'import tool; print([\"FAILED a\", \"PASSED a\"][tool.VALUE == 3])'
: '>>>>> End Test Output'
";

#[test]
fn an_evaluation_builds_the_images_that_it_lacks() {
    let scene = Scene::new();
    let text = fs_err::read_to_string(scene.ohoci.work().join("rows.jsonl")).unwrap();
    let mut rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    rows.truncate(3);
    for row in &mut rows {
        row["eval_script"] = SCRIPT.into();
        row["log_parser"] = "parse_log_pytest".into();
        row["eval_type"] = "pass_and_fail".into();
        row["FAIL_TO_PASS"] = serde_json::json!(["a"]);
        row["PASS_TO_PASS"] = serde_json::json!([]);
    }
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    scene.ohoci.write("work/scripts.jsonl", lines.join("\n"));
    let evaluate = |run: &str, more: &[&str]| {
        let mut command = scene.ohoci.command();
        command
            .args(["swebench", "run-evaluation", "--predictions_path", "gold"])
            .args(["--dataset_name", "scripts.jsonl", "--run_id", run])
            .args(["--specs", "specs.json", "--max_workers", "1"])
            .args(["--images", "oci:evaluated"])
            .args(more)
            .env("PIP_FIND_LINKS", scene.ohoci.work().join("wheels"))
            .env("PIP_NO_INDEX", "1");
        crate::support::command::Outcome::of(&mut command)
    };
    let build = [
        "--repo-source",
        "repositories",
        "--python-dir",
        "pythons",
        "--base-image",
        "oci:base:1",
    ];
    let first = evaluate("first", &build).exits(3);
    let said = &first.stderr;
    assert!(said.contains("building 3 of 3 images"), "{said}");
    assert!(said.contains("resolved      example__tool-1"), "{said}");
    // The patch is for another state of the file; and the third cannot be installed.
    assert!(said.contains("patch_failed  example__tool-2"), "{said}");
    assert!(said.contains("build_failed  example__tool-3"), "{said}");
    assert!(said.contains("level instance: "), "{said}");
    let record = scene
        .ohoci
        .work()
        .join("logs/run_evaluation/first/gold/example__tool-3/ohoci.json");
    let record: Value = serde_json::from_slice(&fs_err::read(record).unwrap()).unwrap();
    assert_eq!(record["status"], "build_failed");

    // What is there is not built again, and then nothing is needed for it.
    let again = evaluate("again", &["--instance_ids", "example__tool-1"]).exits(0);
    assert!(!again.stderr.contains("building"), "{}", again.stderr);
    let alone = evaluate("alone", &build[..2]).exits(2);
    assert!(alone.stderr.contains("--base-image"), "{}", alone.stderr);
}
