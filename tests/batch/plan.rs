//! What a batch is told: lists of bases, plans, and the names of what it makes.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Base, Scene};
use crate::support::command::Ohoci;
use crate::support::ohoci_registry::OhociRegistry;

#[test]
fn bases_come_from_a_file_or_from_stdin_with_comments_and_each_counts_once() {
    let scene = Scene::direct(3);
    let first = scene.reference(&scene.bases[0]);
    let second = scene.reference(&scene.bases[1]);
    let list = format!("# the first\n{first}\n\n  {second}  \r\n{first}\n");
    let mut arguments = scene.arguments("out");
    scene.ohoci.write("work/bases", &list);
    assert_eq!(scene.summary(&arguments, &[])["total"], json!(2));

    arguments[2] = "-".to_owned();
    let mut child = scene
        .ohoci
        .command()
        .args(&arguments)
        .args(["--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    (&stdin).write_all(list.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["total"], &summary["skipped"]),
        (&json!(2), &json!(2))
    );

    scene.ohoci.write("work/bases", "# nothing\n");
    let outcome = scene.run(&scene.to("out"), &[]).exits(2);
    assert!(
        outcome.stderr.contains("the list is empty"),
        "{}",
        outcome.stderr
    );
    scene
        .ohoci
        .write("work/bases", format!("{first}\nNOT A REFERENCE\n"));
    let outcome = scene.run(&scene.to("out"), &[]).exits(2);
    assert!(outcome.stderr.contains("bases:2: "), "{}", outcome.stderr);
}

#[test]
fn two_images_on_one_target_are_refused_before_anything_moves() {
    let registry = OhociRegistry::start();
    let host = registry.host();
    let ohoci = Ohoci::new();
    ohoci.write("work/bases", format!("{host}/a/x:1\n{host}/b/x:1\n"));
    let push = format!("{host}/out:{{name}}");
    let outcome = ohoci
        .run(["batch", "--bases", "bases", "--push", &push])
        .exits(2);
    let expected = format!("{host}/a/x:1 and {host}/b/x:1 would both become {host}/out:x");
    assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);

    // In a plan, the same base may come twice, but not with two results for one tag.
    let line = |env: &str| json!({"base": format!("{host}/a/x:1"), "env": [env], "push": format!("{host}/out:x")});
    ohoci.write("work/plan", format!("{}\n{}\n", line("A=1"), line("A=2")));
    let outcome = ohoci.run(["batch", "--plan", "plan"]).exits(2);
    assert!(outcome.stderr.contains("out:x"), "{}", outcome.stderr);
    // The default tag is a tag like any other.
    let lines = [
        json!({"base": format!("{host}/a/x:1"), "push": format!("{host}/out")}),
        json!({"base": format!("{host}/b/x:1"), "push": format!("{host}/out:latest")}),
    ];
    ohoci.write("work/plan", format!("{}\n{}\n", lines[0], lines[1]));
    ohoci.run(["batch", "--plan", "plan"]).exits(2);
    assert!(registry.take_requests().is_empty());
}

#[test]
fn a_template_names_each_target_after_its_base() {
    let scene = Scene::direct(2);
    let arguments = scene.arguments("out");
    let push = format!("{}/by/{{repository}}:{{tag}}-{{short_digest}}", scene.host);
    scene.summary(&[&arguments[..6], &[push]].concat(), &[]);
    for base in &scene.bases {
        let short = &base.digest["sha256:".len()..][..12];
        let repository = format!("by/swebench/{}", base.name);
        let (_, manifest) = scene.peer.manifest(&repository, &format!("latest-{short}"));
        assert!(!manifest.is_empty());
    }
    let outcome = scene
        .run(
            &[&arguments[..6], &["x.example/{nam}".to_owned()]].concat(),
            &[],
        )
        .exits(2);
    assert!(outcome.stderr.contains("{nam}"), "{}", outcome.stderr);
}

#[test]
fn a_plan_has_composes_flags_as_fields() {
    let scene = Scene::direct(2);
    let line = |base: &Base, env: &str| {
        let push = format!("{}/out:{}-{env}", scene.host, base.name);
        json!({"base": scene.reference(base), "deps": [format!("{}/deps:1", scene.host)],
               "env": [format!("WHICH={env}")], "keep_cmd": true, "push": push})
    };
    let [first, second] = [&scene.bases[0], &scene.bases[1]];
    let plan = [
        line(first, "a"),
        line(first, "b"),
        line(second, "c"),
        line(first, "a"),
    ];
    let plan: Vec<String> = plan.iter().map(Value::to_string).collect();
    scene
        .ohoci
        .write("work/plan", format!("# plan\n{}\n", plan.join("\n")));
    let summary: Value = scene
        .ohoci
        .run(["batch", "--plan", "plan", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(
        summary["built"],
        json!(3),
        "the same line twice is one image"
    );
    for (base, env) in [(first, "a"), (first, "b"), (second, "c")] {
        let tag = format!("{}-{env}", base.name);
        let made = crate::support::workbench::pull(&scene.peer, "out", &tag);
        let expected = format!("WHICH={env}");
        assert!(made.env().contains(&expected.as_str()), "{:?}", made.env());
        assert!(made.env().contains(&"A=1"));
    }

    for (bad, expected) in [
        (r#"{"base": "a", "push": "b", "no_such": 1}"#, "plan:1: "),
        (r#"{"base": "a", "push": {"b": 1}}"#, "plan:1: "),
        ("not json", "plan:1: "),
        (r#"{"base": "a", "push": "b", "dry_run": true}"#, "dry_run"),
    ] {
        scene.ohoci.write("work/plan", bad);
        let outcome = scene.ohoci.run(["batch", "--plan", "plan"]).exits(2);
        assert!(
            outcome.stderr.contains(expected),
            "{bad}: {}",
            outcome.stderr
        );
    }
    // What the lines do not say would be passed over in silence.
    scene
        .ohoci
        .run(["batch", "--plan", "plan", "--env", "A=1"])
        .exits(2);
}

#[test]
fn without_push_the_projects_target_counts() {
    let scene = Scene::direct(1);
    let arguments = scene.arguments("out");
    let project = format!("[compose]\npush = [\"{}/project:1\"]\n", scene.host);
    scene.ohoci.write("work/ohoci.toml", project);
    scene.summary(&arguments[..5], &[]);
    scene.is_whole("project", "1");
}

#[test]
fn a_dry_run_says_what_would_be_made_and_changes_nothing() {
    let scene = Scene::direct(2);
    let arguments = scene.arguments("out");
    let outcome = scene.run(&arguments, &["--dry-run"]).exits(0);
    for base in &scene.bases {
        let line = format!(
            "make   {}  →  {}/out:{}\n",
            scene.reference(base),
            scene.host,
            base.name
        );
        assert!(outcome.stdout.contains(&line), "{}", outcome.stdout);
    }
    assert!(
        outcome.stdout.contains("images    2 (2 to make,"),
        "{}",
        outcome.stdout
    );
    assert_eq!(scene.tags("out"), [None, None]);
    assert!(!scene.ohoci.work().join("ohoci-batch.jsonl").exists());

    let planned = scene.summary(&arguments, &["--dry-run"]);
    let methods: Vec<&String> = planned["requests"].as_object().unwrap().keys().collect();
    assert!(
        methods
            .iter()
            .all(|method| ["GET", "HEAD"].contains(&method.as_str())),
        "{methods:?}"
    );
    let made = scene.summary(&arguments, &[]);
    for (before, after) in planned["results"]
        .as_array()
        .unwrap()
        .iter()
        .zip(made["results"].as_array().unwrap())
    {
        assert_eq!(before["digest"], after["digest"]);
        assert_eq!(before["references"], after["references"]);
    }
    let digests: Vec<Option<String>> = made["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["digest"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(digests, scene.tags("out"));
}

#[test]
fn a_record_has_the_fields_of_openhands_build_output() {
    let scene = Scene::direct(2);
    let arguments = scene.arguments("out");
    scene.run(&arguments, &[]).exits(0);
    let records = scene.records();
    assert_eq!(records.len(), 2);
    for record in &records {
        let name = record["base_image"].as_str().unwrap();
        let base = scene
            .bases
            .iter()
            .find(|b| scene.reference(b) == name)
            .unwrap();
        assert_eq!(record["status"], json!("built"));
        assert_eq!(
            record["tags"],
            json!([format!("{}/out:{}", scene.host, base.name)])
        );
        assert_eq!(record["attempt_count"], json!(1));
        for absent in ["error", "log_path", "skip_reason"] {
            assert_eq!(record.get(absent), Some(&Value::Null), "{absent}");
        }
        for time in ["time", "started_at", "finished_at"] {
            let text = record[time].as_str().unwrap();
            assert!(text.starts_with("20") && text.ends_with('Z'), "{text}");
        }
        for seconds in [
            "duration_seconds",
            "remote_check_seconds",
            "build_seconds",
            "post_build_seconds",
        ] {
            assert!(record[seconds].as_f64().unwrap() >= 0.0, "{seconds}");
        }
    }
    scene.run(&arguments, &[]).exits(0);
    for record in scene.records() {
        assert_eq!(record["status"], json!("skipped_remote_exists"));
        assert!(record["skip_reason"].is_string());
    }
    assert!(scene.ohoci.work().join("ohoci-batch.jsonl.old").exists());
}
