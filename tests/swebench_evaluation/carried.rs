//! Shards that see nothing but a registry are given all that their rows need beside the dataset.

use std::path::Path;

use serde_json::json;

use super::datasets::pro_scene;
use super::scene::{ID, Scene};
use crate::support::command::Outcome;

/// Hands a run over, does its one shard where nothing but results and images is to be seen, and gathers
/// with a verdict for the one instance.
fn resolved_elsewhere(scene: &Scene, flags: &[&str]) {
    let work = scene.ohoci.work();
    let results = format!("oci:{}", work.join("runs").display());
    let images = format!("oci:{}", work.join("images").display());
    let run = |directory: &Path, own: &[&str]| {
        let mut command = scene.ohoci.command();
        command
            .args(["swebench", "run-evaluation", "-d", "rows.jsonl"])
            .args(["-p", "gold", "-id", "r", "--images", &images])
            .args(["--results", &results])
            .args(flags)
            .args(own)
            .env("TMPDIR", &scene.temporary)
            .current_dir(directory);
        Outcome::of(&mut command)
    };
    let engine = [
        "--engine=kubernetes",
        "--engine-image=registry.example/ohoci:1",
    ];
    run(&work, &engine).exits(0);
    let pod = work.join("pod");
    fs_err::create_dir(&pod).unwrap();
    let outcome = run(&pod, &["--shard", "0/1"]).exits(0);
    assert!(
        !outcome.stderr.contains("cannot be graded"),
        "{}",
        outcome.stderr
    );
    let outcome = run(&work, &["--shards", "1", "--gather"]).exits(0);
    assert!(
        outcome.stdout.starts_with("gold: 1 of 1 resolved\n"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn files_that_no_patch_holds_are_carried_to_shards() {
    let scene = Scene::new();
    let test = "[ \"$(cat tests/pictures/a.png)\" = expected ] && bash run_tests.sh";
    let mut row = scene.row_testing(test);
    let asset = json!({"path": "tests/pictures/a.png", "url": "http://127.0.0.1:9/a.png"});
    row["image_assets"] = json!({"test_patch": [asset]});
    scene.dataset(&[row]);
    let given = format!("work/assets/{ID}/tests/pictures/a.png");
    scene.ohoci.write(given, "expected");
    resolved_elsewhere(&scene, &["--assets", "assets"]);
}

#[test]
fn scripts_beside_rows_are_carried_to_shards() {
    let scene = pro_scene();
    resolved_elsewhere(&scene, &["--scripts-dir", "run_scripts"]);
}
