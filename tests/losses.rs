//! Nothing is lost, replaced or left half done without a word.

use axum::http::Method;
use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::answering::answer;
use crate::support::images::{bare, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::sha256;
use crate::support::trusting_registry::TrustingRegistry;
use crate::support::workbench::Workbench;

fn bench(registry: &TrustingRegistry) -> Workbench {
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_layers("base", 1);
    bench
}

#[test]
fn with_nothing_to_add_no_other_image_is_pushed() {
    let registry = TrustingRegistry::start();
    let bench = bench(&registry);
    let outcome = bench
        .compose(&["--base", "@/base:1", "--push", "@/out:1"])
        .exits(1);
    assert!(
        outcome.stderr.contains("nothing to put on it") && outcome.stderr.contains("ohoci copy"),
        "{}",
        outcome.stderr
    );
    let asked = registry.take_requests();
    assert!(
        !asked
            .iter()
            .any(|(_, target)| target.contains("/out/manifests/")),
        "{asked:?}"
    );
}

#[test]
fn a_variable_without_braces_is_refused_where_it_can_only_be_meant_and_said_elsewhere() {
    let registry = TrustingRegistry::start();
    let bench = bench(&registry);
    for env in ["PATH=/x:$PATH", "A=$A:b", "B=$PATH"] {
        let outcome = bench
            .compose(&["--base", "@/base:1", "--env", env, "--push", "@/out:1"])
            .exits(2);
        assert!(outcome.stderr.contains("${"), "{}", outcome.stderr);
    }
    for (env, said) in [("A=$HOME/x", true), ("A=pa$word", false), ("A=5$", false)] {
        let outcome = bench
            .compose(&["--base", "@/base:1", "--env", env, "--push", "@/out:1"])
            .exits(0);
        assert_eq!(
            outcome.stderr.contains("as it stands"),
            said,
            "{}",
            outcome.stderr
        );
        assert_eq!(bench.pull("out", "1").env(), [env]);
    }
}

#[test]
fn where_one_of_several_targets_fails_it_is_said_where_the_result_is() {
    let registry = TrustingRegistry::meddled(|asked, _| {
        let refused =
            *asked.method == Method::PUT && asked.target.starts_with("/v2/bad/manifests/");
        refused.then(|| answer(403, &[], r#"{"errors":[{"code":"DENIED"}]}"#))
    });
    let bench = bench(&registry);
    let good = format!("{}/good:1", bench.host);
    let layout = bench.ohoci.work().join("layout");
    bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .build()
        .write_layout(&layout, "1");
    for arguments in [
        &[
            "compose", "--base", "@/base:1", "--env", "A=1", "--push", "@/bad:1", "--push",
            "@/good:1",
        ][..],
        &["copy", "oci:layout:1", "@/good:1", "@/bad:1"],
    ] {
        let outcome = bench.run(arguments).exits(1);
        assert!(
            outcome.stderr.contains(&format!("pushed to {good}")),
            "{}",
            outcome.stderr
        );
        bench.pull("good", "1");
    }
}

#[test]
fn an_archive_that_loses_images_and_a_registry_that_gets_another_kind_are_said() {
    let registry = TrustingRegistry::start();
    let bench = bench(&registry);
    for kind in ["docker-archive", "oci-archive"] {
        let push = |name: &str| format!("{kind}:{kind}.tar:{name}");
        let compose = |name: &str, env: &str| {
            let push = push(name);
            bench
                .compose(&["--base", "@/base:1", "--env", env, "--push", &push])
                .exits(0)
                .stderr
        };
        assert_eq!(compose("x:1", "A=1"), "");
        assert_eq!(compose("x:1", "A=2"), "", "the same name again");
        let said = compose("x:2", "A=1");
        assert!(
            said.contains("no longer holds") && said.contains("x:1"),
            "{said}"
        );
    }
    let docker = busybox(Family::Docker, Compression::Gzip).build();
    docker.push(&bench.peer, "docker", "1");
    let arguments = ["--base", "@/docker:1", "--env", "A=1", "--push", "@/out:2"];
    assert_eq!(bench.compose(&arguments).exits(0).stderr, "");
    let more = [&arguments[..], &["--push", "oci:beside:1"]].concat();
    let said = bench.compose(&more).exits(0).stderr;
    assert!(said.contains("OCI image in all targets"), "{said}");
}

#[test]
fn what_others_changed_in_a_composed_image_is_named_when_it_is_made_anew() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"]);
    let unchanged = bench.run(&["rebase", "@/app:1"]).exits(0);
    assert_eq!(unchanged.stderr, "");

    let made = bench.pull("app", "1");
    let mut config = made.config.clone();
    config["config"]["User"] = json!("somebody");
    let config = config.to_string().into_bytes();
    let mut manifest: Value = made.manifest.clone();
    manifest["config"]["digest"] = json!(sha256(&config));
    manifest["config"]["size"] = json!(config.len());
    bench.peer.put_blob("app", &config);
    let bytes = manifest.to_string().into_bytes();
    let change = || {
        bench
            .peer
            .put_manifest("app", "1", &made.media_type, &bytes);
    };
    change();
    let outcome = bench.run(&["rebase", "@/app:1"]).exits(0);
    assert!(
        outcome.stderr.contains("config.User") && outcome.stderr.contains("somebody"),
        "{}",
        outcome.stderr
    );
    change();
    bench
        .ohoci
        .write("work/images", format!("{}/app:1\n", bench.host));
    let outcome = bench.run(&["batch", "--rebase", "images", "--verify-targets"]);
    let outcome = outcome.exits(0);
    assert!(
        outcome.stderr.contains("config.User") && outcome.stderr.contains("somebody"),
        "{}",
        outcome.stderr
    );
    let journal = bench.ohoci.work().join("ohoci-batch.jsonl");
    let record: Value =
        serde_json::from_str(fs_err::read_to_string(journal).unwrap().trim()).unwrap();
    let warning = record["warning"].as_str().unwrap();
    assert!(warning.contains("config.User"), "{warning}");
}

#[test]
fn what_runtimes_refuse_of_a_config_is_refused_or_said() {
    let registry = TrustingRegistry::start();
    let bench = bench(&registry);
    for flags in [
        ["--user", "a:b:c"],
        ["--user", "4294967296"],
        ["--workdir", "app"],
    ] {
        let arguments = [&["--base", "@/base:1", "--push", "@/out:1"][..], &flags].concat();
        assert_ne!(bench.compose(&arguments).code, Some(0), "{flags:?}");
    }
    let odd = busybox(Family::Oci, Compression::Gzip)
        .set("WorkingDir", json!("app"))
        .set("Env", json!(["NOTHING"]))
        .build();
    odd.push(&bench.peer, "odd", "1");
    let arguments = ["--base", "@/odd:1", "--label", "a=b", "--push", "@/out:1"];
    let said = bench.compose(&arguments).exits(0).stderr;
    assert!(
        said.contains("WorkingDir") && said.contains("NOTHING"),
        "{said}"
    );
}
