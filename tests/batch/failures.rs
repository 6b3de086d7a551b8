//! What goes wrong in a batch, and how it goes on afterwards.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use ohoci_image::media_type::Family;
use serde_json::json;
use testbed::Relay;

use super::{Scene, deps, file, requests};
use crate::support::command::Ohoci;
use crate::support::faulty_proxy::FaultyProxy;
use crate::support::images::bare;
use crate::support::requests::take;

/// Adds a base that is nowhere to the list, in front.
fn with_a_missing_base(scene: &Scene) -> Vec<String> {
    let arguments = scene.arguments("out");
    let list: Vec<String> = std::iter::once(format!("{}/swebench/missing:latest", scene.host))
        .chain(scene.bases.iter().map(|base| scene.reference(base)))
        .collect();
    scene.ohoci.write("work/bases", list.join("\n"));
    arguments
}

#[test]
fn what_failed_is_told_apart_by_the_exit_code_and_can_be_tried_alone() {
    let scene = Scene::direct(3);
    let arguments = with_a_missing_base(&scene);
    let outcome = scene
        .run(
            &arguments,
            &["--format", "json", "--markdown", "summary.md"],
        )
        .exits(3);
    let summary = outcome.json();
    assert_eq!(
        (&summary["built"], &summary["failed"]),
        (&json!(3), &json!(1))
    );
    let markdown = fs_err::read_to_string(scene.ohoci.work().join("summary.md")).unwrap();
    assert!(markdown.contains("| 4 | 3 | 0 | 1 | 0 | 0 |"), "{markdown}");
    assert!(markdown.contains("### Failed") && markdown.contains("swebench/missing"));

    let text = scene.run(&arguments, &["--resume"]).exits(3).stdout;
    assert!(
        text.contains("4 (3 pushed, 0 already there, 1 failed"),
        "{text}"
    );
    assert!(
        text.contains("failed\n") && text.contains("swebench/missing:latest"),
        "{text}"
    );

    let missing = &bare(Family::Docker, vec![file("x", "x")]).build();
    missing.push(&scene.peer, "swebench/missing", "latest");
    let summary = scene.summary(&arguments, &["--retry-failed"]);
    assert_eq!(
        (&summary["total"], &summary["built"]),
        (&json!(4), &json!(4))
    );
    let journal = scene.records();
    assert_eq!(journal.last().unwrap()["status"], json!("built"));

    scene
        .ohoci
        .write("work/bases", format!("{}/swebench/none:1", scene.host));
    scene.run(&scene.to("out"), &[]).exits(1);
}

#[test]
fn what_is_wrong_on_this_machine_is_not_tried_again() {
    let scene = Scene::direct(1);
    let host = "127.0.0.1:1";
    let table = format!("[registry.\"{host}\"]\nca = [\"missing.pem\"]\n");
    scene.ohoci.write("config/ohoci/config.toml", table);
    scene.ohoci.write("work/bases", format!("{host}/base:1"));
    scene.run(&scene.to("out"), &[]).exits(1);
    let records = scene.records();
    let [record] = records.as_slice() else {
        panic!("{records:#?}");
    };
    let why = record["error"].as_str().unwrap();
    assert!(why.contains("missing.pem"), "{why}");
    assert_eq!(record["attempt_count"], json!(1), "{record:#}");
}

#[test]
fn a_run_ends_early_when_asked_to() {
    let scene = Scene::direct(4);
    let arguments = with_a_missing_base(&scene);
    for limit in [&["--fail-fast"][..], &["--max-failures", "1"]] {
        let more = [limit, &["--jobs", "1", "--format", "json"]].concat();
        let outcome = scene.run(&arguments, &more).exits(1);
        let summary = outcome.json();
        assert_eq!(
            (&summary["failed"], &summary["left"]),
            (&json!(1), &json!(4))
        );
        assert_eq!(summary["notStarted"].as_array().unwrap().len(), 4);
    }
    // What was not started is what --resume does, with the failed one.
    let summary = scene
        .run(
            &arguments,
            &["--resume", "--max-failures", "2", "--format", "json"],
        )
        .exits(3)
        .json();
    assert_eq!(
        (&summary["built"], &summary["failed"]),
        (&json!(4), &json!(1))
    );
}

#[test]
fn the_report_is_one_page_that_names_the_shared_layers() {
    let scene = Scene::direct(3);
    let mut arguments = with_a_missing_base(&scene);
    arguments.extend(["--report".to_owned(), "report.html".to_owned()]);
    scene.run(&arguments, &[]).exits(3);
    let page = fs_err::read_to_string(scene.ohoci.work().join("report.html")).unwrap();
    for outside in [
        "http://", "https://", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("3 of 4 images"), "{page}");
    let root = file("etc/os-release", "ID=debian\n");
    let deps = deps();
    for shared in [&root.digest, &deps.layers[0].digest] {
        let at = page.find(shared.as_str()).unwrap();
        let row = &page[at..][..page[at..].find("</span>").unwrap()];
        assert!(row.contains("3 images"), "{row}");
    }
    assert!(page.contains("swebench/missing"));
    for digest in scene.tags("out").into_iter().flatten() {
        assert!(page.contains(&format!("title=\"{digest}\"")), "{digest}");
    }
}

#[test]
fn a_registry_that_fails_at_random_gets_every_image_once_and_right() {
    let mut proxy = None;
    let scene = Scene::new(100, |registry| {
        let started = FaultyProxy::start(registry.address(), 4);
        let host = started.host();
        proxy = Some(started);
        host
    });
    let proxy = proxy.unwrap();
    scene.summary(&scene.arguments("calm"), &[]);
    let calm = proxy.take_requests();
    assert_eq!(proxy.take_put().len(), 100);

    // Nothing that the first run learned helps.
    let fresh = Scene {
        ohoci: Ohoci::new(),
        ..scene
    };
    proxy.misbehave(true);
    let outcome = fresh.run(&fresh.arguments("stormy"), &["--format", "json"]);
    proxy.misbehave(false);
    let faults = proxy.faults();
    let injected: usize = faults.values().sum();
    assert!(injected > 60 && faults.len() == 7, "{faults:?}");
    let summary = outcome.exits(0).json();
    assert_eq!(
        (&summary["total"], &summary["built"]),
        (&json!(100), &json!(100))
    );

    let put = proxy.take_put();
    assert_eq!(put.len(), 100);
    assert!(put.values().all(|count| *count == 1), "{put:?}");
    let made = fresh.tags("stormy");
    assert_eq!(made, fresh.tags("calm"));
    for digest in made {
        fresh.is_whole("stormy", &digest.unwrap());
    }
    // Each fault costs the request that met it, and at most the opening and end of an upload.
    let stormy = proxy.take_requests();
    assert!(
        stormy <= calm + 3 * injected,
        "{stormy}, {calm} and {injected}"
    );
    let retries = usize::try_from(summary["retries"].as_u64().unwrap()).unwrap();
    assert!(retries <= injected, "{retries} of {injected}");
}

#[test]
fn killed_at_any_moment_a_resumed_run_ends_where_an_undisturbed_one_does() {
    let mut relay = None;
    let scene = Scene::new(40, |registry| {
        // Slow enough that there is always something under way.
        let started = Relay::start(registry.address(), Duration::from_millis(6)).unwrap();
        let host = started.address().to_string();
        relay = Some(started);
        host
    });
    let relay = relay.unwrap();
    scene.summary(&scene.arguments("calm"), &[]);
    let calm = scene.tags("calm");
    drop(take(&relay));

    let scene = Scene {
        ohoci: Ohoci::new(),
        ..scene
    };
    let arguments = scene.arguments("killed");
    let mut random = fastrand::Rng::with_seed(9);
    for round in 0..10 {
        let mut child = scene
            .ohoci
            .command()
            .args(&arguments)
            .args(["--resume", "--jobs", "3"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From before the first request to after the fourth image or so.
        let moment = random.usize(0..36);
        let mut seen = 0;
        while seen < moment && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
            seen += take(&relay).len();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever has a name is what it will be.
        for (made, expected) in scene.tags("killed").iter().zip(&calm) {
            assert!(made.is_none() || made == expected, "round {round}");
        }
    }
    let before = scene.tags("killed").into_iter().flatten().count();
    assert!((1..40).contains(&before), "{before} were there");
    let summary = scene.summary(&arguments, &["--resume"]);
    assert_eq!(summary["total"], json!(40));
    assert_eq!(scene.tags("killed"), calm);
    for digest in calm {
        scene.is_whole("killed", &digest.unwrap());
    }
    drop(take(&relay));
    assert_eq!(requests(&scene.summary(&arguments, &["--resume"])), 0);
    assert!(take(&relay).is_empty());
}
