//! Registries that count what is read, as Docker Hub does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ohoci_image::media_type::Family;
use serde_json::{Value, json};

use super::file;
use crate::support::answering::{Answering, answer, image};
use crate::support::command::Ohoci;
use crate::support::images::bare;
use crate::support::ohoci_registry::OhociRegistry;

/// Docker Hub in small: each manifest that is read counts, and every answer says what is left.
fn hub(left: &Arc<AtomicU64>) -> Answering {
    let left = Arc::clone(left);
    let held = bare(Family::Docker, vec![file("etc/os-release", "ID=debian\n")]).build();
    Answering::start(move |request| {
        let mut answered = if request.target.contains("/manifests/") && request.method == "GET" {
            let took = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
            match took {
                Ok(_) => image(&held, request),
                Err(_) => answer(429, &[("retry-after", "21600")], ""),
            }
        } else {
            image(&held, request)
        };
        let remaining = format!("{};w=21600", left.load(Ordering::SeqCst));
        let headers = answered.headers_mut();
        headers.insert("ratelimit-limit", "10;w=21600".parse().unwrap());
        headers.insert("ratelimit-remaining", remaining.parse().unwrap());
        Some(answered)
    })
}

#[test]
fn a_budget_is_not_used_up_and_the_run_goes_on_later() {
    let left = Arc::new(AtomicU64::new(10));
    let hub = hub(&left);
    let target = OhociRegistry::start();
    let ohoci = Ohoci::new();
    let list: Vec<String> = (0..20)
        .map(|number| format!("{}/library/base{number}:1", hub.host()))
        .collect();
    ohoci.write("work/bases", list.join("\n"));
    let push = format!("{}/out:{{name}}", target.host());
    let arguments = ["batch", "--bases", "bases", "--env", "A=1", "--push", &push];

    let outcome = ohoci.run(arguments).exits(3);
    let told = format!("{} allows ", hub.host());
    for expected in [told.as_str(), " of 10 more pulls", "6 hours", "--resume"] {
        assert!(outcome.stdout.contains(expected), "{}", outcome.stdout);
    }
    assert!(left.load(Ordering::SeqCst) >= 1, "the last pulls are left");
    let pulls = || {
        let seen = hub.requests();
        seen.iter()
            .filter(|line| line.contains("GET ") && line.contains("/manifests/"))
            .count()
    };
    let before = pulls();
    assert!(before >= 4, "{before}");

    left.store(100, Ordering::SeqCst);
    let summary: Value = ohoci
        .run(
            arguments
                .iter()
                .copied()
                .chain(["--resume", "--format", "json"]),
        )
        .exits(0)
        .json();
    assert_eq!(
        (&summary["total"], &summary["failed"]),
        (&json!(20), &json!(0))
    );
    assert_eq!(pulls(), 20, "no base is pulled twice");
}

#[test]
fn a_budget_that_is_used_up_already_ends_the_run_without_asking_for_each_image() {
    let left = Arc::new(AtomicU64::new(0));
    let hub = hub(&left);
    let target = OhociRegistry::start();
    let ohoci = Ohoci::new();
    let list: Vec<String> = (0..50)
        .map(|number| format!("{}/library/base{number}:1", hub.host()))
        .collect();
    ohoci.write("work/bases", list.join("\n"));
    let push = format!("{}/out:{{name}}", target.host());
    let outcome = ohoci.run(["batch", "--bases", "bases", "--env", "A=1", "--push", &push]);
    assert!(hub.requests().len() <= 8, "{:?}", hub.requests());
    assert!(outcome.stdout.contains("6 hours"), "{}", outcome.stdout);
    assert_eq!(outcome.code, Some(1), "nothing came of it");
}
