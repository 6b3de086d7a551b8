//! Images that several machines build, with a registry as all that they share of levels.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::scene::{IMAGE, Scene};
use super::{BOTH, digests, levels};
use crate::support::command::Outcome;
use crate::support::kubernetes_schema;
use crate::support::ohoci_registry::OhociRegistry;

/// What sbatch does, one task after another, each on a machine of its own: without a cache, and with a
/// clone of nothing.
const SBATCH: &str = r#"#!/bin/bash
for script; do :; done
echo "$@" >> sbatch.log
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$script")
state=0
for task in $(seq 0 "$last"); do
    node=$PWD/nodes/$(basename "$script")-$task
    mkdir -p "$node"
    [ -e "$node.lost" ] && continue
    log=$(sed -n "s/^#SBATCH --output=\(.*\)%a\(.*\)/\1$task\2/p" "$script")
    XDG_CACHE_HOME=$node SLURM_ARRAY_TASK_ID=$task bash "$script" > "$log" 2>&1 || state=1
done
case " $* " in *" --parsable "*) echo 17 ;; esac
exit $state
"#;

/// Runs `swebench images` where there is Slurm.
fn with_slurm(scene: &Scene, ids: &[&str], more: &[&str]) -> Outcome {
    let program = scene.ohoci.write("home/bin/sbatch", SBATCH);
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let programs = program.parent().unwrap().display();
    let engine = ["--engine", "slurm", "--shards", "2"];
    let mut command = scene.command(ids, &[&engine[..], more].concat());
    Outcome::of(command.env("PATH", format!("{programs}:{path}")))
}

/// The names of blobs that were uploaded, each as often as it was.
fn uploads_of(registry: &OhociRegistry) -> Vec<String> {
    let requests = registry.take_requests().into_iter();
    requests
        .filter(|(method, target)| method == "PUT" && target.contains("/blobs/uploads/"))
        .map(|(_, target)| target.split("digest=").nth(1).unwrap().to_owned())
        .collect()
}

fn from_cache(report: &Value, instance: usize) -> Vec<bool> {
    let levels = levels(report, instance).into_iter();
    levels.map(|(_, _, from_cache)| from_cache).collect()
}

#[test]
fn slurm_builds_what_is_shared_once_and_then_the_instances() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let registry = OhociRegistry::start();
    let place = format!("{}/mirror", registry.host());
    let more = ["--push", &place, "--format", "json", "--sbatch=--mem=4G"];
    let outcome = with_slurm(&scene, &BOTH, &more).exits(0);
    let report = outcome.json();
    for instance in 0..2 {
        let all = from_cache(&report, instance);
        assert_eq!(all, [true, true, true, false], "{report:#}");
    }
    // Each was on a machine of its own, and no layer was uploaded twice: the base, Python, packages,
    // history and two instances; the configs of four levels, of two for instances, and of their images.
    let uploads = uploads_of(&registry);
    let distinct: BTreeSet<&String> = uploads.iter().collect();
    assert_eq!(uploads.len(), distinct.len(), "{uploads:#?}");
    let submitted = fs_err::read_to_string(work.join("sbatch.log")).unwrap();
    let lines: Vec<&str> = submitted.lines().collect();
    assert!(lines[0].starts_with("--parsable /"), "{submitted}");
    let after = "--wait --quiet --dependency=afterany:17 /";
    assert!(lines[1].starts_with(after), "{submitted}");
    let script = fs_err::read_to_string(work.join("logs/build_images/shards/shared.sh")).unwrap();
    assert!(script.contains("#SBATCH --mem=4G\n"), "{script}");
    let said = scene.says(
        &format!("{place}/{IMAGE}"),
        "python -c 'import tool; print(tool.VALUE)'",
    );
    assert_eq!(said, "1\n");
}

#[test]
fn levels_that_machines_share_are_mounted_whoever_has_them() {
    let scene = Scene::new();
    let registry = OhociRegistry::start();
    let expected = digests(&scene.built(&BOTH, &[]));
    let shared = format!("{}/levels", registry.host());
    let build = |to: &str| {
        let place = format!("{}/{to}", registry.host());
        let more = ["--push", &place, "--levels", &shared, "--format", "json"];
        let report = scene.images(&BOTH, &more).exits(0).json();
        assert_eq!(digests(&report), expected);
        for instance in 0..2 {
            assert_eq!(from_cache(&report, instance), [true; 4], "{report:#}");
        }
        uploads_of(&registry).len()
    };
    // The base and five levels, each with a config, and the configs of two images.
    assert_eq!(build("first"), 14);
    // This machine has the levels, and they are mounted all the same.
    assert_eq!(build("second"), 2);
    // Another one has nothing.
    fs_err::remove_dir_all(scene.ohoci.work().join("../cache/ohoci")).unwrap();
    assert_eq!(build("third"), 2);
}

#[test]
fn what_a_lost_machine_leaves_undone_another_run_builds_and_nothing_else() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let registry = OhociRegistry::start();
    let place = format!("{}/mirror", registry.host());
    let more = ["--push", &place, "--format", "json"];
    scene.ohoci.write("work/nodes/instances.sh-1.lost", "");
    scene.ohoci.write("work/nodes/shared.sh-1.lost", "");
    let outcome = with_slurm(&scene, &BOTH, &more).exits(3);
    let said = "shard 1/2 has left nothing";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    let missing = "example__tool-2: level instance: gather\n  no shard has left it";
    assert!(outcome.stderr.contains(missing), "{}", outcome.stderr);
    let report = outcome.json();
    assert_eq!(report["instances"][0]["status"], "built");
    assert_eq!(report["instances"][1]["status"], "failed");
    let gathered = [&more[..], &["--gather", "--shards", "2"]].concat();
    let again = scene.images(&BOTH, &gathered).exits(3).json();
    assert_eq!(again, report);

    fs_err::remove_dir_all(work.join("nodes")).unwrap();
    fs_err::remove_dir_all(work.join("logs")).unwrap();
    registry.take_requests();
    let report = with_slurm(&scene, &BOTH, &more).exits(0).json();
    assert_eq!(from_cache(&report, 0), [true; 4]);
    assert_eq!(from_cache(&report, 1), [true, true, true, false]);
    let logs = work.join("logs/build_images");
    assert!(!logs.join("env").exists(), "no environment is built again");
    let built: Vec<_> = fs_err::read_dir(logs.join("instances"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(built, ["sweb.eval.x86_64.example__tool-2__latest"]);
}

#[test]
fn kubernetes_is_given_a_job_for_each_stage() {
    let scene = Scene::new();
    let work = scene.ohoci.work();
    let registry = OhociRegistry::start();
    let place = format!("{}/mirror", registry.host());
    let engine = ["--push", &place, "--engine", "kubernetes"];
    let refused = scene.images(&BOTH, &engine).exits(2);
    assert!(
        refused.stderr.contains("--engine-image"),
        "{}",
        refused.stderr
    );
    let cluster = [
        "--engine-image",
        "registry.example/ohoci:1",
        "--engine-volume",
        "builds",
        "--shards",
        "2",
    ];
    let more = [&engine[..], &cluster].concat();
    let outcome = scene.images(&BOTH, &more).exits(0);
    let jobs: Vec<Value> = outcome
        .stdout
        .lines()
        .map(|path| serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap())
        .collect();
    kubernetes_schema::takes(&jobs);
    assert_eq!(jobs.len(), 2);
    let folder = fs_err::canonicalize(work.join("logs/build_images/shards")).unwrap();
    let start = format!(
        "kubectl apply -f {0}/shared.json && kubectl wait --for=condition=complete --timeout=-1s \
         job/{1} && kubectl apply -f {0}/instances.json",
        folder.display(),
        jobs[0]["metadata"]["name"].as_str().unwrap(),
    );
    assert!(outcome.stderr.contains(&start), "{}", outcome.stderr);
    for (job, index) in [(0, "0"), (0, "1"), (1, "0"), (1, "1")] {
        pod(&scene, &jobs[job], index).exits(0);
    }
    let gather = ["--push", &place, "--gather", "--shards", "2"];
    let gathered = scene.images(&BOTH, &gather).exits(0);
    assert!(gathered.stdout.contains(SECOND), "{}", gathered.stdout);
}

const SECOND: &str = "sweb.eval.x86_64.example_1776_tool-2@sha256:";

/// A pod of a job, in the volume that all pods see, with nothing else of another.
fn pod(scene: &Scene, job: &Value, index: &str) -> Outcome {
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    let words = container["command"].as_array().unwrap().iter();
    let words: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
    let work = scene.ohoci.work();
    let programs = work.join("programs");
    fs_err::create_dir_all(&programs).unwrap();
    let link = programs.join("ohoci");
    if !link.exists() {
        fs_err::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ohoci"), link).unwrap();
    }
    let name = job["metadata"]["name"].as_str().unwrap();
    let cache = work.join("nodes").join(format!("{name}-{index}"));
    fs_err::create_dir_all(&cache).unwrap();
    let command = scene.command(&[], &[]);
    let path = std::env::var("PATH").unwrap();
    let mut pod = Command::new(words[0]);
    pod.args(&words[1..])
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("XDG_CACHE_HOME", cache)
        .env("JOB_COMPLETION_INDEX", index)
        .current_dir(Path::new(container["workingDir"].as_str().unwrap()));
    Outcome::of(&mut pod)
}

#[test]
fn a_plan_tells_what_each_shard_would_build() {
    let scene = Scene::new();
    let more = ["--dry-run", "--format", "json", "--shards", "2"];
    let plan = |engine: &[&str]| {
        let more = [&more[..], engine].concat();
        scene.images(&BOTH, &more).exits(0).json()
    };
    assert!(plan(&[]).get("shards").is_none());
    scene.built(&BOTH, &[]);
    let plan = plan(&["--engine", "slurm", "--push", "registry.example/mirror"]);
    let shards: Vec<Value> = plan["shards"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shard| {
            json!([
                shard["stage"],
                shard["environments"],
                shard["instances"],
                shard["makes"]["layers"],
                shard["reads"]["layers"]
            ])
        })
        .collect();
    let expected = json!([
        ["shared", 1, 2, 2, 0],
        ["shared", 0, 2, 1, 0],
        ["instances", 1, 1, 1, 3],
        ["instances", 1, 1, 1, 3],
    ]);
    assert_eq!(Value::from(shards), expected, "{plan:#}");
    let size = |value: &Value| value["size"].as_u64().unwrap();
    let level = |name: &str| {
        let levels = plan["levels"].as_array().unwrap().iter();
        let mut level = levels.filter(|level| level["level"] == name);
        level.next().unwrap().clone()
    };
    let environment = size(&level("python")) + size(&level("environment"));
    assert_eq!(size(&plan["shards"][0]["makes"]), environment);
    let history = size(&level("history"));
    assert_eq!(size(&plan["shards"][3]["reads"]), environment + history);
    let text = scene.images(&BOTH, &["--dry-run", "--engine", "slurm", "--shards", "1"]);
    let told = "shard shared 0: 1 environments, needed by 2 instances; makes 3 layers, ";
    let text = text.exits(0).stdout;
    assert!(text.contains(told), "{text}");
}

#[test]
fn a_disk_budget_lets_go_of_what_is_not_needed_any_more() {
    let scene = Scene::new();
    let cache = scene.ohoci.work().join("../cache/ohoci");
    let build = |budget: &str| {
        let more = ["--disk-budget", budget, "--max-workers", "1"];
        let report = scene.built(&BOTH, &more);
        let disk = report["disk"].clone();
        (report, disk)
    };
    let is_cached = |report: &Value, instance: usize, level: usize| {
        let digest = levels(report, instance)[level].1.to_owned();
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blob = cache.join("blobs/sha256").join(&hex[..2]).join(hex);
        blob.exists()
    };
    let (report, plenty) = build("1T");
    assert_eq!(
        (&plenty["layers"], &plenty["unpackedLayers"]),
        (&json!(0), &json!(0))
    );
    assert!(is_cached(&report, 0, 3) && is_cached(&report, 1, 3));
    let expected = digests(&report);
    let most = plenty["mostKept"].as_u64().unwrap();

    // A little less than all of it: instances that are pushed go.
    fs_err::remove_dir_all(&cache).unwrap();
    let (report, little) = build(&(most - 1).to_string());
    assert!(little["mostKept"].as_u64().unwrap() < most, "{little}");
    assert!(little["layers"].as_u64().unwrap() > 0, "{little}");
    assert!(!is_cached(&report, 0, 3), "it is pushed");
    assert!(is_cached(&report, 0, 0), "a Python stays");
    assert_eq!(digests(&report), expected);
}

#[test]
fn what_is_being_built_may_need_more_than_the_disk_budget_and_is_built() {
    let scene = Scene::new();
    let more = ["--push", "oci:images", "--disk-budget", "1"];
    let outcome = scene.images(&BOTH[..1], &more).exits(0);
    let said = "more than the budget of 1: what is being built needs them";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("let go of: "), "{}", outcome.stderr);
}

#[test]
fn places_that_machines_cannot_share_are_refused() {
    let scene = Scene::new();
    for (flags, words) in [
        (
            &["--push", "oci-archive:x.tar"][..],
            "oci-archive:x.tar is one file",
        ),
        (&["--push", "dir:roots"], "--engine needs a place"),
        (
            &["--push", "oci:x", "--levels", "oci:y:z"],
            "--levels: oci:y:z has a tag",
        ),
    ] {
        let refused = with_slurm(&scene, &BOTH, flags).exits(2);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}
