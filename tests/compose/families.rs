//! Bases of both families, with all that foreign tools write into them.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::debian_registry::DebianRegistry;
use crate::support::images::busybox;
use crate::support::peer::Access;
use crate::support::workbench::Workbench;

#[test]
fn a_deps_image_lands_on_bases_of_both_families_without_mixing_them() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    bench.push_deps("@/deps:1");
    let deps = bench.pull("deps", "1");
    for family in [Family::Docker, Family::Oci] {
        let base = bench.push_base("base", family);
        bench.composed(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ]);
        let made = bench.pull("app", "1");
        assert_eq!(made.media_type, family.manifest());
        assert_eq!(made.manifest["mediaType"], json!(family.manifest()));
        assert_eq!(made.manifest["config"]["mediaType"], json!(family.config()));
        let types: Vec<&Value> = made.manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| &layer["mediaType"])
            .collect();
        assert!(
            types
                .iter()
                .all(|kind| **kind == json!(family.layer(Compression::Gzip).unwrap())),
            "{types:?}"
        );
        let deps_layers = deps.layers();
        assert_eq!(
            made.layers(),
            [&[base.layers[0].digest.as_str()], &deps_layers[..]].concat()
        );
        let diff_ids = made.config["rootfs"]["diff_ids"].as_array().unwrap();
        assert_eq!(diff_ids[0], json!(base.layers[0].diff_id));
        assert_eq!(diff_ids[1], deps.config["rootfs"]["diff_ids"][0]);
        assert_eq!(made.env()[0].split(':').next(), Some("PATH=/openhands/bin"));
        assert_eq!(made.runtime()["Entrypoint"], json!(["tool"]));
        assert_eq!(made.runtime()["Cmd"], json!(["by", "default"]));
        let real = made.config["history"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["empty_layer"] != json!(true));
        assert_eq!(real.count(), made.layers().len());
    }
}

#[test]
fn zstd_layers_make_an_oci_image_of_a_docker_base() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    bench.push_base("base", Family::Docker);
    bench.ohoci.write("work/files/a", "a");
    bench.composed(&[
        "--base",
        "@/base:1",
        "--layer",
        "files",
        "--compression",
        "zstd",
        "--push",
        "@/app:1",
    ]);
    let made = bench.pull("app", "1");
    let kind = |at: usize| made.manifest["layers"][at]["mediaType"].as_str().unwrap();
    assert_eq!(
        [made.media_type.as_str(), kind(0), kind(1)],
        [
            Family::Oci.manifest(),
            Family::Oci.layer(Compression::Gzip).unwrap(),
            Family::Oci.layer(Compression::Zstd).unwrap(),
        ]
    );
}

#[test]
fn what_nobody_knows_survives_byte_for_byte() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    // Numbers that no typed reader would write again in the same way.
    let strange: Value = serde_json::from_str(
        r#"{"z":1.0,"a":[1e400,-0,12345678901234567890123],"m":{"\u00e9":null,"Z":"a"}}"#,
    )
    .unwrap();
    let healthcheck =
        json!({"Test": ["CMD", "true"], "Interval": 30_000_000_000_u64, "Retries": 3});
    for family in [Family::Docker, Family::Oci] {
        let base = busybox(family, Compression::Gzip)
            .set("Healthcheck", healthcheck.clone())
            .set("OnBuild", json!(["RUN true"]))
            .set("ArgsEscaped", json!(true))
            .set("Shell", json!(["/bin/sh", "-ec"]))
            .set("x-unknown", strange.clone())
            .set_top("container_config", json!({"Cmd": ["x"], "y": strange}))
            .set_top("moby.buildkit.buildinfo.v1", json!("AAAA"))
            .set_top("docker_version", json!("20.10.24"))
            .set_manifest("x-vendor", strange.clone())
            .build();
        base.push(&bench.peer, "base", "1");
        bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"]);
        let made = bench.pull("app", "1");
        let text = strange.to_string();
        assert_eq!(made.config_text.matches(&text).count(), 2);
        for kept in [
            format!(r#""x-unknown":{text}"#),
            format!(r#""Healthcheck":{healthcheck}"#),
            r#""OnBuild":["RUN true"],"ArgsEscaped":true,"Shell":["/bin/sh","-ec"]"#.to_owned(),
            format!(
                r#""container_config":{{"Cmd":["x"],"y":{text}}},"moby.buildkit.buildinfo.v1":"AAAA","docker_version":"20.10.24""#
            ),
        ] {
            assert!(
                made.config_text.contains(&kept),
                "{kept}\n{}",
                made.config_text
            );
        }
        assert_eq!(made.manifest["x-vendor"].to_string(), text);
        let keys = |text: &str| -> Vec<String> {
            let value: Value = serde_json::from_str(text).unwrap();
            value.as_object().unwrap().keys().cloned().collect()
        };
        let base_config = String::from_utf8(base.config).unwrap();
        assert_eq!(keys(&made.config_text), keys(&base_config), "order of keys");
    }
}

#[test]
fn a_base_without_history_stays_without() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    bench.push_deps("@/deps:1");
    busybox(Family::Oci, Compression::Gzip)
        .without_history()
        .build()
        .push(&bench.peer, "base", "1");
    let report = bench.composed(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
    ]);
    assert_eq!(report["warnings"], json!([]));
    let made = bench.pull("app", "1");
    assert!(made.config.get("history").is_none());
    assert_eq!(
        made.config["rootfs"]["diff_ids"].as_array().unwrap().len(),
        2
    );
}

#[test]
fn a_history_that_does_not_fit_is_kept_and_told() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    bench.push_deps("@/deps:1");
    let history = json!([{"created_by": "one"}, {"created_by": "two"}, {"created_by": "three"}]);
    busybox(Family::Oci, Compression::Gzip)
        .without_history()
        .set_top("history", history.clone())
        .build()
        .push(&bench.peer, "base", "1");
    let outcome = bench
        .compose(&[
            "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
        ])
        .exits(0);
    assert!(
        outcome.stderr.contains("warning: the base's history"),
        "{}",
        outcome.stderr
    );
    assert_eq!(bench.pull("app", "1").config["history"], history);
}

#[test]
fn an_image_without_a_date_stays_without() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    bench.push_layers("base", 1);
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"]);
    assert!(bench.pull("app", "1").config.get("created").is_none());

    let output = bench
        .ohoci
        .command()
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .args(bench.expand(&[
            "compose", "--base", "@/base:1", "--env", "A=1", "--push", "@/app:2",
        ]))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        bench.pull("app", "2").config["created"],
        json!("2023-11-14T22:13:20Z")
    );
}
