//! `ohoci inspect`: what it shows, and what it never lets through to a terminal.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::command::Ohoci;
use crate::support::debian_registry::DebianRegistry;
use crate::support::images::{Image, Index, Layer, Node, Recipe, bare};
use crate::support::peer::{Access, sha256};

/// A layer with one file, the same bytes on every machine.
fn layer(path: &str) -> Layer {
    let content = Node::File(path.as_bytes().to_vec());
    Layer::pack(&[(path, content)], Compression::None)
}

fn base() -> Recipe {
    bare(Family::Oci, vec![layer("etc/base"), layer("etc/more")])
        .set_top("created", json!("2020-01-01T00:00:00Z"))
        .set("Entrypoint", json!(["/bin/entry", "--flag"]))
        .set("Cmd", json!(["a b"]))
        .set("User", json!("1000:1000"))
        .set("WorkingDir", json!("/srv"))
}

/// The text without what differs from run to run: the registry's address, and digests that depend
/// on it.
fn stable(text: &str, host: &str, known: &[(&str, &str)]) -> String {
    let mut text = text.replace(host, "HOST");
    for (digest, name) in known {
        text = text.replace(digest, name);
    }
    let mut stable = String::new();
    let mut pieces = text.split("sha256:");
    stable.push_str(pieces.next().unwrap());
    for piece in pieces {
        stable.push_str("SHA256");
        stable.push_str(piece.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    stable
}

#[test]
fn an_image_is_shown_with_what_it_starts_and_every_layer() {
    let ohoci = Ohoci::new();
    base()
        .build()
        .write_layout(&ohoci.work().join("layout"), "1");
    let outcome = ohoci.run(["inspect", "oci:layout:1"]).exits(0);
    insta::assert_snapshot!(outcome.stdout, @r#"
    oci:layout:1
    sha256:ea4432c6e35b4af19987d3d7943c8a71db5dfbb92138d819afbc19322235762f
    manifest   application/vnd.oci.image.manifest.v1+json  547 B
    platform   linux/amd64
    created    2020-01-01T00:00:00Z
    entrypoint ["/bin/entry","--flag"]
    cmd        ["a b"]
    user       1000:1000
    workdir    /srv
    config     sha256:991958210a5324f86b29dd70abe483ec1085492d78ff7b396a9745dfa45fbcb1  577 B
    layers     2, 4.1 kB
    ├─ layer    2.0 kB  sha256:ceab203819273eafb65fcdbeb672bfb1cc61687632e17957d2ff4740853eb8a9  ADD layer 0
    └─ layer    2.0 kB  sha256:3779f51e51e5613adb45cf6ba0a446b39e7e90048c0d80d64dd96d926576e768  ADD layer 1
    "#);
}

#[test]
fn settings_have_a_line_each() {
    let ohoci = Ohoci::new();
    bare(Family::Oci, vec![layer("etc/base")])
        .set("Env", json!(["PATH=/usr/bin:/bin", "LANG=C.UTF-8"]))
        .set("ExposedPorts", json!({"8080/tcp": {}, "53/udp": {}}))
        .set("Volumes", json!({"/data": {}}))
        .set("StopSignal", json!("SIGINT"))
        .set("Labels", json!({"b": "2", "a": "x".repeat(90)}))
        .build()
        .write_layout(&ohoci.work().join("layout"), "1");
    let text = ohoci.run(["inspect", "oci:layout:1"]).exits(0).stdout;
    let long = format!("label      a={}", "x".repeat(90));
    let at = text.find("signal     SIGINT").unwrap();
    let settings: Vec<&str> = text[at..].lines().take(8).collect();
    assert_eq!(
        settings,
        [
            "signal     SIGINT",
            "env        PATH=/usr/bin:/bin",
            "env        LANG=C.UTF-8",
            "port       53/udp",
            "port       8080/tcp",
            "volume     /data",
            &long,
            "label      b=2",
        ]
    );
    let report = ohoci
        .run(["inspect", "--format", "json", "oci:layout:1"])
        .exits(0)
        .json();
    let runtime = &report["images"][0]["runtime"];
    assert_eq!(runtime["env"][1], "LANG=C.UTF-8");
    assert_eq!(runtime["ports"], json!(["53/udp", "8080/tcp"]));
    assert_eq!(runtime["labels"]["b"], "2");
}

/// Two images, one of them attested, and an artifact.
fn index() -> Index {
    let amd64 = base().build();
    let arm = base().platform("arm", Some("v7")).build();
    let attestation = bare(Family::Oci, vec![layer("statement")])
        .platform("unknown", None)
        .build();
    let artifact = bare(Family::Oci, vec![layer("bill of materials")])
        .set_manifest("artifactType", json!("application/spdx+json"))
        .build();
    let mut index = Index::new(Family::Oci, vec![amd64, arm, attestation, artifact]);
    let mut manifest: Value = serde_json::from_slice(&index.manifest).unwrap();
    let entries = &mut manifest["manifests"];
    entries[2]["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    entries[2]["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    entries[3].as_object_mut().unwrap().remove("platform");
    entries[3]["artifactType"] = json!("application/spdx+json");
    index.manifest = manifest.to_string().into_bytes();
    index.digest = sha256(&index.manifest);
    index
}

#[test]
fn an_index_is_shown_with_its_images_and_what_else_it_lists() {
    let ohoci = Ohoci::new();
    index().write_layout(&ohoci.work().join("layout"), "1");
    let outcome = ohoci.run(["inspect", "oci:layout:1"]).exits(0);
    insta::assert_snapshot!(outcome.stdout, @r#"
    oci:layout:1
    sha256:4be4b1eee0918747a1857b7533e1983c6f22b44c2fca7791d80a7927ca73a592
    index  application/vnd.oci.image.index.v1+json  969 B
    ├─ linux/amd64  sha256:ea4432c6e35b4af19987d3d7943c8a71db5dfbb92138d819afbc19322235762f
    │  manifest   application/vnd.oci.image.manifest.v1+json  547 B
    │  created    2020-01-01T00:00:00Z
    │  entrypoint ["/bin/entry","--flag"]
    │  cmd        ["a b"]
    │  user       1000:1000
    │  workdir    /srv
    │  config     sha256:991958210a5324f86b29dd70abe483ec1085492d78ff7b396a9745dfa45fbcb1  577 B
    │  layers     2, 4.1 kB
    │  ├─ layer    2.0 kB  sha256:ceab203819273eafb65fcdbeb672bfb1cc61687632e17957d2ff4740853eb8a9  ADD layer 0
    │  └─ layer    2.0 kB  sha256:3779f51e51e5613adb45cf6ba0a446b39e7e90048c0d80d64dd96d926576e768  ADD layer 1
    ├─ linux/arm/v7  sha256:ef5532a2457a2f0d09c082568ef6af0c50be41d6e7ccf115ec31a2fbf27429e5
    │  manifest   application/vnd.oci.image.manifest.v1+json  547 B
    │  created    2020-01-01T00:00:00Z
    │  entrypoint ["/bin/entry","--flag"]
    │  cmd        ["a b"]
    │  user       1000:1000
    │  workdir    /srv
    │  config     sha256:a2f14f92c259721195330eb9e29c5fc363b50aee6d7b6dac4963d512326661af  590 B
    │  layers     2, 4.1 kB
    │  ├─ layer    2.0 kB  sha256:ceab203819273eafb65fcdbeb672bfb1cc61687632e17957d2ff4740853eb8a9  ADD layer 0
    │  └─ layer    2.0 kB  sha256:3779f51e51e5613adb45cf6ba0a446b39e7e90048c0d80d64dd96d926576e768  ADD layer 1
    ├─ attestation  sha256:1de905b3b408894c0541282e686b42b3357a1ca523657161660bcd922cab594e  397 B
    └─ artifact  sha256:5307b022066419d031d1462d1a2ec340e7be04985bc1587a34e3aa2211d1d110  436 B
    "#);
    let one = ohoci
        .run(["inspect", "--platform", "linux/arm/v7", "oci:layout:1"])
        .exits(0);
    assert!(
        one.stdout.contains("\nplatform   linux/arm/v7\n"),
        "{}",
        one.stdout
    );
    assert!(!one.stdout.contains("amd64"), "{}", one.stdout);
}

#[test]
fn a_composed_image_is_shown_with_what_it_was_composed_from() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let host = registry.host();
    let peer = registry.peer(Access::Anonymous);
    let (base, deps) = (
        base().build(),
        bare(Family::Oci, vec![layer("openhands/tool")]).build(),
    );
    base.push(&peer, "base", "1");
    deps.push(&peer, "deps", "1");
    ohoci
        .run([
            "compose",
            "--base",
            &format!("{host}/base:1"),
            "--deps",
            &format!("{host}/deps:1"),
            "--user",
            "root",
            "--push",
            &format!("{host}/composed:1"),
        ])
        .exits(0);
    let composed = format!("{host}/composed:1");
    let text = ohoci.run(["inspect", &composed]).exits(0).stdout;
    let known = [
        (base.digest.as_str(), "BASE"),
        (&deps.digest, "DEPS"),
        (&base.layers[0].digest, "BASE LAYER 0"),
        (&base.layers[1].digest, "BASE LAYER 1"),
        (&deps.layers[0].digest, "DEPS LAYER"),
    ];
    insta::assert_snapshot!(stable(&text, &host, &known), @r#"
    HOST/composed:1
    SHA256
    manifest   application/vnd.oci.image.manifest.v1+json  889 B
    platform   linux/amd64
    created    2020-01-01T00:00:00Z
    base       HOST/base:1  BASE
    deps       HOST/deps:1  DEPS
    entrypoint ["/bin/entry","--flag"]
    cmd        ["a b"]
    user       root
    workdir    /srv
    config     SHA256  1.4 kB
    layers     3, 6.1 kB
    ├─ base     2.0 kB  BASE LAYER 0  ADD layer 0
    ├─ base     2.0 kB  BASE LAYER 1  ADD layer 1
    └─ deps     2.0 kB  DEPS LAYER  ohoci compose: deps HOST/deps:1@SHA256…
    "#);

    let report = ohoci
        .run(["inspect", "--format", "json", &composed])
        .exits(0)
        .json();
    let image = &report["images"][0];
    assert_eq!(
        image["base"],
        json!({"name": format!("{host}/base:1"), "digest": base.digest})
    );
    let origins: Vec<&Value> = image["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["origin"])
        .collect();
    assert_eq!(origins, ["base", "base", "deps"]);
    assert_eq!(image["layers"][2]["diffId"], json!(deps.layers[0].diff_id));
    assert_eq!(image["runtime"]["user"], "root");
}

#[test]
fn the_json_names_everything_by_digest_type_and_size() {
    let ohoci = Ohoci::new();
    let index = index();
    index.write_layout(&ohoci.work().join("layout"), "1");
    let report = ohoci
        .run(["inspect", "--format", "json", "oci:layout:1"])
        .exits(0)
        .json();
    assert_eq!(report["digest"], json!(index.digest));
    assert_eq!(
        (&report["index"], &report["size"]),
        (&json!(true), &json!(index.manifest.len()))
    );
    let kinds: Vec<&Value> = report["others"]
        .as_array()
        .unwrap()
        .iter()
        .map(|other| &other["kind"])
        .collect();
    assert_eq!(kinds, ["attestation", "artifact"]);
    for (shown, image) in report["images"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&index.images)
    {
        assert_eq!(shown["digest"], json!(image.digest));
        assert_eq!(shown["config"]["digest"], json!(sha256(&image.config)));
        let sizes: Vec<usize> = image.layers.iter().map(|layer| layer.bytes.len()).collect();
        let shown: Vec<&Value> = shown["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| &layer["size"])
            .collect();
        assert_eq!(json!(shown), json!(sizes));
    }
}

#[test]
fn documents_are_printed_byte_for_byte() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let index = index();
    let peer = registry.peer(Access::Anonymous);
    index.push(&peer, "index", "1");
    // Neither the blanks nor the order of this config are what a JSON library would write.
    let mut odd: Image = base().build();
    let text = String::from_utf8(odd.config.clone()).unwrap();
    let config = format!("\n {}  \n", text.replace("\":", "\" :\t"));
    let manifest = String::from_utf8(odd.manifest.clone()).unwrap();
    let manifest = manifest
        .replace(&sha256(&odd.config), &sha256(config.as_bytes()))
        .replace(
            &format!("\"size\":{}", odd.config.len()),
            &format!("\"size\":{}", config.len()),
        );
    odd.config = config.into_bytes();
    odd.digest = sha256(manifest.as_bytes());
    odd.manifest = manifest.into_bytes();
    odd.push(&peer, "odd", "1");

    let host = registry.host();
    let print = |arguments: &[&str], name: &str| {
        let reference = format!("{host}/{name}:1");
        let outcome = ohoci.run([&["inspect"], arguments, &[reference.as_str()]].concat());
        outcome.exits(0).stdout.into_bytes()
    };
    assert_eq!(print(&["--config"], "odd"), odd.config);
    assert_eq!(print(&["--manifest"], "odd"), odd.manifest);
    assert_eq!(print(&["--manifest"], "index"), index.manifest);
    let arm = &index.images[1];
    assert_eq!(
        print(&["--manifest", "--platform", "linux/arm/v7"], "index"),
        arm.manifest
    );
    assert_eq!(
        print(&["--config", "--platform", "linux/arm/v7"], "index"),
        arm.config
    );
}

/// Characters that a terminal obeys, or that hide what is there: clear the screen (as ESC and as
/// the one character CSI), go back over the line, turn the direction of text.
const ORDERS: &str = "\u{1b}[2J\u{9b}2J\r\u{7}\u{8}\u{7f}\u{202e}\u{200b}\nhint: forged";

fn check_harmless(text: &str) {
    let orders =
        |c: char| c != '\n' && (c.is_control() || ORDERS[1..].contains(c) && !c.is_ascii());
    assert!(!text.contains(orders), "{text:?}");
    assert!(
        !text.lines().any(|line| line.starts_with("hint: forged")),
        "{text}"
    );
}

#[test]
fn foreign_documents_give_no_orders_to_the_terminal() {
    let registry = DebianRegistry::open();
    let ohoci = Ohoci::new();
    let hostile = |text: &str| json!(format!("{text}{ORDERS}"));
    let mut recipe = base()
        .platform(&format!("amd64{ORDERS}"), Some(&format!("v1{ORDERS}")))
        .set_top("created", hostile("2020-01-01T00:00:00Z"))
        .set("User", hostile("root"))
        .set("WorkingDir", hostile("/"))
        .set("Env", json!([format!("A{ORDERS}=b{ORDERS}")]))
        .set("Entrypoint", json!([hostile("sh")]))
        .set(
            "Labels",
            json!({
                format!("key{ORDERS}"): hostile("value"),
                "org.opencontainers.image.base.name": hostile("base"),
            }),
        )
        .set_manifest(
            "annotations",
            json!({
                "org.opencontainers.image.base.name": hostile("registry.example/base"),
                format!("key{ORDERS}"): hostile("value"),
            }),
        );
    recipe = recipe.set_top("history", json!([]));
    let mut image = recipe.build();
    let mut config: Value = serde_json::from_slice(&image.config).unwrap();
    for entry in config["history"].as_array_mut().unwrap() {
        entry["created_by"] = hostile("RUN");
    }
    let before = sha256(&image.config);
    let length = image.config.len();
    image.config = config.to_string().into_bytes();
    let manifest = String::from_utf8(image.manifest).unwrap();
    let manifest = manifest.replace(&before, &sha256(&image.config)).replace(
        &format!("\"size\":{length}"),
        &format!("\"size\":{}", image.config.len()),
    );
    image.digest = sha256(manifest.as_bytes());
    image.manifest = manifest.into_bytes();

    let layout = ohoci.work().join("layout");
    image.write_layout(&layout, "image");
    Index::new(Family::Oci, vec![image.clone(), image.clone()]).write_layout(&layout, "index");
    image.push(&registry.peer(Access::Anonymous), "hostile", "1");
    let remote = format!("{}/hostile:1", registry.host());
    let missing = ["--platform", "linux/s390x"];
    for (arguments, code) in [
        (vec!["inspect", "oci:layout:image"], 0),
        (vec!["inspect", "oci:layout:index"], 0),
        (vec!["inspect", &remote], 0),
        (vec!["inspect", "--format", "json", "oci:layout:image"], 0),
        (vec!["inspect", "--format", "json", "oci:layout:index"], 0),
        ([&["inspect", "oci:layout:image"][..], &missing].concat(), 1),
        ([&["inspect", "oci:layout:index"][..], &missing].concat(), 1),
        (
            [&["copy", "oci:layout:index", "oci:to:1"][..], &missing].concat(),
            1,
        ),
        (
            vec![
                "copy",
                "-v",
                "--format",
                "json",
                "oci:layout:image",
                "oci:to:1",
            ],
            0,
        ),
        (
            vec![
                "compose",
                "--base",
                "oci:layout:image",
                "--env",
                "X=y",
                "--dry-run",
            ],
            0,
        ),
        (
            vec![
                "compose",
                "--base",
                "oci:layout:image",
                "--env",
                "X=${A}",
                "--dry-run",
                "--format",
                "json",
            ],
            0,
        ),
    ] {
        let outcome = ohoci.run(&arguments).exits(code);
        check_harmless(&outcome.stdout);
        check_harmless(&outcome.stderr);
    }
    // Escaped, not lost.
    let json = ohoci
        .run(["inspect", "--format", "json", "oci:layout:image"])
        .json();
    assert_eq!(json["images"][0]["runtime"]["user"], hostile("root"));
    // What a script reads is what is there, whatever that is.
    let printed = ohoci.run(["inspect", "--config", "oci:layout:image"]);
    assert_eq!(printed.stdout.into_bytes(), image.config);
}
