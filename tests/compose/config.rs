//! Every flag that changes the config, in both families.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{bare, busybox};
use crate::support::peer::Access;
use crate::support::workbench::Workbench;

#[test]
fn every_flag_changes_its_field_and_no_other() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    for (family, tag) in [(Family::Docker, "docker"), (Family::Oci, "oci")] {
        let base = busybox(family, Compression::Gzip)
            .set(
                "Env",
                json!(["PATH=/usr/bin:/bin", "DROP=1", "KEEP=2", "LATE=3"]),
            )
            .set("Entrypoint", json!(["/old"]))
            .set("User", json!("old"))
            .set("WorkingDir", json!("/old"))
            .set("Labels", json!({"kept": "yes", "changed": "old"}))
            .set("ExposedPorts", json!({"80/tcp": {}}))
            .set("Volumes", json!({"/data": {}}))
            .set("StopSignal", json!("SIGTERM"))
            .build();
        base.push(&bench.peer, "base", tag);
        let base_name = format!("{}/base:{tag}", bench.host);
        let target = format!("@/app:{tag}");
        #[rustfmt::skip]
        let arguments = [
            "--base", &base_name, "--push", &target,
            "--env", "PATH=/opt/bin:${PATH}", "-e", "EMPTY=", "--env", "DOLLAR=a$b$${c}=d",
            "--env", "WORD=${NOTHING:-word}${DROP:+ was set}", "--env", "KEEP=new",
            "--unset-env", "DROP", "--unset-env", "NEVER_THERE",
            "--entrypoint", r#"["/bin/sh","-c"]"#, "--cmd", r#"["env"]"#,
            "--user", "1000:1000", "--workdir", "/work",
            "--label", "changed=new", "--label", "added=a=b", "--label", "empty=",
            "--expose", "8080", "--expose", "53/udp",
            "--volume", "/cache", "--stop-signal", "SIGINT",
        ];
        let report = bench.composed(&arguments);
        let made = bench.pull("app", tag);
        assert_eq!(report["digest"], json!(made.digest));
        assert_eq!(made.media_type, family.manifest());
        assert_eq!(
            made.env(),
            [
                "PATH=/opt/bin:/usr/bin:/bin",
                "KEEP=new",
                "LATE=3",
                "EMPTY=",
                "DOLLAR=a$b${c}=d",
                "WORD=word was set",
            ]
        );
        let mut runtime = made.runtime().clone();
        let labels = runtime["Labels"].as_object_mut().unwrap();
        assert!(labels.remove("ohoci.intent").is_some());
        // Docker's manifests have no annotations, so there the base stands in labels.
        let base_labels = [
            labels.remove("org.opencontainers.image.base.name"),
            labels.remove("org.opencontainers.image.base.digest"),
        ];
        let annotations = &made.manifest["annotations"];
        match family {
            Family::Docker => {
                assert_eq!(
                    base_labels,
                    [Some(json!(base_name)), Some(json!(base.digest))]
                );
                assert!(annotations.is_null());
            }
            Family::Oci => {
                assert_eq!(base_labels, [None, None]);
                let expected = json!({
                    "org.opencontainers.image.base.name": base_name,
                    "org.opencontainers.image.base.digest": base.digest,
                });
                assert_eq!(*annotations, expected);
            }
        }
        runtime.as_object_mut().unwrap().shift_remove("Env");
        let expected = json!({
            "Cmd": ["env"],
            "Entrypoint": ["/bin/sh", "-c"],
            "User": "1000:1000",
            "WorkingDir": "/work",
            "Labels": {"kept": "yes", "changed": "new", "added": "a=b", "empty": ""},
            "ExposedPorts": {"80/tcp": {}, "8080/tcp": {}, "53/udp": {}},
            "Volumes": {"/data": {}, "/cache": {}},
            "StopSignal": "SIGINT",
        });
        assert_eq!(runtime, expected);
        let last = made.config["history"].as_array().unwrap().last().unwrap();
        assert_eq!(last["empty_layer"], json!(true), "{last}");
        assert_eq!(made.layers(), [base.layers[0].digest.as_str()]);
    }
}

#[test]
fn annotations_make_an_oci_image_of_a_docker_base() {
    let registry = DebianRegistry::open();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    bench.push_base("base", Family::Docker);
    bench.composed(&[
        "--base",
        "@/base:1",
        "--annotation",
        "org.opencontainers.image.title=a=b",
        "--annotation",
        "empty=",
        "--push",
        "@/app:1",
    ]);
    let made = bench.pull("app", "1");
    assert_eq!(made.media_type, Family::Oci.manifest());
    assert_eq!(
        made.manifest["config"]["mediaType"],
        json!(Family::Oci.config())
    );
    let layer = Family::Oci.layer(Compression::Gzip).unwrap();
    assert_eq!(made.manifest["layers"][0]["mediaType"], json!(layer));
    let annotations = &made.manifest["annotations"];
    assert_eq!(annotations["org.opencontainers.image.title"], json!("a=b"));
    assert_eq!(annotations["empty"], json!(""));
}

/// Composes on a layout with these flags; returns `Entrypoint` and `Cmd`.
fn command(ohoci: &Ohoci, flags: &[&str]) -> [Value; 2] {
    let arguments = [
        &["compose", "--base", "oci:base:1", "--push", "oci:app:1"],
        flags,
    ]
    .concat();
    ohoci.run(arguments).exits(0);
    let config = ohoci
        .run(["inspect", "--config", "oci:app:1"])
        .exits(0)
        .json();
    ["Entrypoint", "Cmd"].map(|field| config["config"][field].clone())
}

#[test]
fn entrypoint_and_cmd_follow_the_rules_of_a_dockerfile() {
    let ohoci = Ohoci::new();
    bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .set("Entrypoint", json!(["/old"]))
        .set("Cmd", json!(["old"]))
        .build()
        .write_layout(&ohoci.work().join("base"), "1");
    let none = Value::Null;
    for (flags, entrypoint, cmd) in [
        (&["--user", "x"][..], json!(["/old"]), json!(["old"])),
        (
            &["--entrypoint", r#"["/e","a b"]"#],
            json!(["/e", "a b"]),
            none.clone(),
        ),
        (&["--entrypoint", "/e"], json!(["/e"]), none.clone()),
        (
            &["--entrypoint", "/e", "--keep-cmd"],
            json!(["/e"]),
            json!(["old"]),
        ),
        (
            &["--entrypoint", "/e", "--cmd", "c"],
            json!(["/e"]),
            json!(["c"]),
        ),
        (&["--entrypoint", ""], none.clone(), none.clone()),
        (
            &["--entrypoint", "", "--keep-cmd"],
            none.clone(),
            json!(["old"]),
        ),
        (
            &["--entrypoint", "[]", "--cmd", "c"],
            none.clone(),
            json!(["c"]),
        ),
        (
            &["--cmd", r#"["x","y"]"#],
            json!(["/old"]),
            json!(["x", "y"]),
        ),
        (&["--cmd", ""], json!(["/old"]), none.clone()),
    ] {
        let [found_entrypoint, found_cmd] = command(&ohoci, flags);
        let empty = |value: Value| {
            if value == json!([]) {
                none.clone()
            } else {
                value
            }
        };
        assert_eq!(
            (empty(found_entrypoint), empty(found_cmd)),
            (entrypoint, cmd),
            "{flags:?}"
        );
    }
}

#[test]
fn a_base_without_path_gets_the_runtimes_default() {
    let ohoci = Ohoci::new();
    bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .build()
        .write_layout(&ohoci.work().join("base"), "1");
    ohoci
        .run([
            "compose",
            "--base",
            "oci:base:1",
            "--env",
            "PATH=/openhands/bin:${PATH}",
            "--push",
            "oci:app:1",
        ])
        .exits(0);
    let config = ohoci
        .run(["inspect", "--config", "oci:app:1"])
        .exits(0)
        .json();
    assert_eq!(
        config["config"]["Env"],
        json!(["PATH=/openhands/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
    );
}

#[test]
fn values_that_cannot_be_are_wrong_usage_and_nothing_is_asked() {
    let ohoci = Ohoci::new();
    for (flags, says) in [
        (["--env", "A"], "KEY=VALUE"),
        (["--env", "A=${B"], "A"),
        (["--env", "=b"], "KEY=VALUE"),
        (["--label", "novalue"], "KEY=VALUE"),
        (["--annotation", "=x"], "KEY=VALUE"),
        (["--expose", "http"], "http"),
        (["--expose", "70000"], "70000"),
        (["--stop-signal", "not a signal"], "not a signal"),
        (["--entrypoint", "sh -c true"], "JSON array"),
        (["--cmd", "[1]"], "--cmd"),
        (["--platform", "linux"], "--platform"),
    ] {
        let outcome = ohoci
            .run([
                "compose",
                "--base",
                "127.0.0.1:1/nobody/listens",
                "--push",
                "oci:app",
                flags[0],
                flags[1],
            ])
            .exits(2);
        assert!(
            outcome.stderr.contains(says),
            "{flags:?}: {}",
            outcome.stderr
        );
        assert_eq!(outcome.stdout, "");
    }
}
