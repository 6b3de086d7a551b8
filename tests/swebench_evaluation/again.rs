//! What is run once more, and what is not.

use super::scene::{GOLD, ID, Scene};
use super::{COMMENT, MISFIT};

const EARLIER: &str = "(from an earlier run)";

#[test]
fn an_outcome_is_used_again_only_for_the_same_patch_script_and_image() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.predictions(&[(ID, COMMENT)]);
    let run = |flags: &[&str], code| scene.run("preds.jsonl", flags).exits(code).stdout;
    assert!(!run(&[], 4).contains(EARLIER));
    assert!(run(&[], 4).contains(EARLIER));
    assert!(!run(&["--fresh"], 4).contains(EARLIER));

    scene.predictions(&[(ID, GOLD)]);
    assert!(!run(&[], 0).contains(EARLIER), "another patch");
    scene.dataset(&[scene.row_testing("true; bash run_tests.sh")]);
    assert!(!run(&[], 0).contains(EARLIER), "another script");
    assert!(run(&[], 0).contains(EARLIER));

    scene.predictions(&[(ID, MISFIT)]);
    assert!(!run(&[], 4).contains(EARLIER));
    assert!(
        !scene.has_file("org__m", "report.json"),
        "of the patch before"
    );
    assert!(run(&[], 4).contains(EARLIER));
}

#[test]
fn an_interrupted_run_goes_on_with_what_it_recorded() {
    let scene = Scene::new();
    scene.dataset(&[scene.row()]);
    scene.run("gold", &[]).exits(0);
    let resume = |run: &str| {
        let arguments = ["swebench", "run-evaluation", "--run-id", run, "--resume"];
        scene
            .ohoci
            .run(arguments.iter().chain(&["--images", "oci:images"]))
    };
    assert!(resume("r").exits(0).stdout.contains(EARLIER));
    assert!(resume("other").exits(1).stderr.contains("no run other"));
}

#[test]
fn what_is_not_always_the_same_is_told() {
    let scene = Scene::new();
    // By chance about every second time; all twenty alike come once in half a million runs.
    let flaky = "n=$(cat /proc/sys/kernel/random/uuid); case $n in [0-7]*) sed -i 's/hello world/x/' tests/test_greet.sh;; esac; bash run_tests.sh";
    scene.dataset(&[scene.row_testing(flaky)]);
    let outcome = scene.run("gold", &["--repeat", "20"]);
    assert!(
        outcome.stdout.contains("of 20 times, flaky"),
        "{}",
        outcome.stdout
    );
    assert!(scene.has_file("gold", "attempt-20/test_output.txt"));
}
