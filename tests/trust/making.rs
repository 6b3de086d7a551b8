//! What ohoci makes is signed before its tag shows it, and its record can be replayed.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{Scene, openssl};

#[test]
fn what_is_composed_copied_and_composed_in_batches_is_signed_before_its_tag() {
    let scene = Scene::new();
    let (key, public) = scene.key("mine");
    scene
        .run(&[
            "compose",
            "--base",
            "@/base:1",
            "--env",
            "A=b",
            "--push",
            "@/app:1",
            "--sign-key",
            &key,
            "--sign-tag",
        ])
        .exits(0);
    let puts: Vec<String> = scene
        .registry
        .take_requests()
        .into_iter()
        .filter(|(method, path)| method == "PUT" && path.contains("/app/manifests/"))
        .map(|(_, path)| path)
        .collect();
    assert_eq!(puts.len(), 3, "{puts:?}");
    assert!(puts[1].ends_with(".sig"), "{puts:?}");
    assert!(puts[2].ends_with("/1"), "{puts:?}");
    let found = scene
        .run(&["verify", "--key", &public, "--format", "json", "@/app:1"])
        .exits(0)
        .json();
    let forms: Vec<&Value> = found["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["form"])
        .collect();
    assert_eq!(forms, ["bundle", "tag"]);

    scene
        .run(&["copy", "@/base:1", "@/copied:1", "--sign-key", &key])
        .exits(0);
    scene
        .run(&["verify", "--key", &public, "@/copied:1"])
        .exits(0);

    let bases = format!("{}/base:1\n", scene.bench.host);
    scene.bench.ohoci.write("work/bases.txt", bases);
    scene
        .run(&[
            "batch",
            "--bases",
            "bases.txt",
            "--env",
            "A=c",
            "--push",
            "@/many:1",
            "--sign-key",
            &key,
        ])
        .exits(0);
    scene
        .run(&["verify", "--key", &public, "@/many:1"])
        .exits(0);
    let (_, others) = scene.key("others");
    let foreign = scene
        .run(&["verify", "--key", &others, "@/many:1"])
        .exits(4);
    assert!(
        foreign.stdout.contains("not signed by a key given"),
        "{}",
        foreign.stdout
    );
    let archive = scene.run(&[
        "compose",
        "--base",
        "@/base:1",
        "--env",
        "A=b",
        "--push",
        "oci-archive:a.tar",
        "--sign-key",
        &key,
    ]);
    assert_eq!(archive.code, Some(1), "{}", archive.stderr);
    assert!(!scene.file("a.tar").exists());
}

#[test]
fn a_program_may_have_the_key() {
    let scene = Scene::new();
    let work = scene.bench.ohoci.work();
    openssl(
        &work,
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "hsm.pem",
        ],
    );
    let script = format!(
        "#!/bin/sh\nset -e\ncd '{}'\ncase $1 in\n\
         public-key) openssl pkey -in hsm.pem -pubout ;;\n\
         sign) sed 's/.*\"digest\":\"\\([^\"]*\\)\".*/\\1/' | base64 -d >asked\n\
         openssl pkeyutl -sign -inkey hsm.pem -pkeyopt digest:sha256 -in asked | base64 -w0 ;;\nesac\n",
        work.display()
    );
    let program = scene.bench.ohoci.write("work/signer", script);
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(&program, mode).unwrap();
    openssl(
        &work,
        &["pkey", "-in", "hsm.pem", "-pubout", "-out", "hsm.pub"],
    );
    let program = program.to_str().unwrap();
    scene
        .run(&["sign", "--program", program, "@/base:1"])
        .exits(0);
    scene
        .run(&["verify", "--key", "hsm.pub", "@/base:1"])
        .exits(0);
    scene.bench.ohoci.write(
        "work/signer",
        "#!/bin/sh\necho the token is locked >&2\nexit 1\n",
    );
    let locked = scene
        .run(&["sign", "--program", program, "@/base:1"])
        .exits(1);
    assert!(
        locked.stderr.contains("the token is locked"),
        "{}",
        locked.stderr
    );
}

#[test]
fn provenance_is_replayed_and_another_record_is_told() {
    let scene = Scene::new();
    let (key, public) = scene.key("mine");
    let compose = [
        "compose",
        "--base",
        "@/base:1",
        "--env",
        "A=b",
        "--push",
        "@/app:1",
        "--provenance",
        "--sign-key",
        &key,
    ];
    scene.run(&compose).exits(0);
    let replayed = scene
        .run(&[
            "verify", "--replay", "--key", &public, "--format", "json", "@/app:1",
        ])
        .exits(0)
        .json();
    assert_eq!(replayed["holds"], json!(true));
    assert_eq!(replayed["provenance"], json!([{"by": "mine.pub"}]));
    assert_eq!(replayed["replay"]["verdict"], json!("equal"));
    let listed = scene.run(&["verify", "--key", &public, "@/app:1"]).exits(0);
    assert!(
        listed.stdout.contains("https://slsa.dev/provenance/v1"),
        "{}",
        listed.stdout
    );

    let shown = scene
        .run(&["inspect", "--referrers", "--key", &public, "@/app:1"])
        .exits(0);
    let signed: Vec<&str> = shown
        .stdout
        .lines()
        .filter(|line| line.ends_with("  signed by mine.pub"))
        .collect();
    assert_eq!(signed.len(), 2, "{}", shown.stdout);
    let unverified = scene.run(&["inspect", "--referrers", "@/app:1"]).exits(0);
    assert!(
        unverified.stdout.contains("not verified: no key was given"),
        "{}",
        unverified.stdout
    );

    // The policy may ask for it.
    let rule = format!(
        "[[trust.rule]]\nimages = [\"*/app\"]\nkeys = [\"{}\"]\nattestations = \
         [\"https://slsa.dev/provenance/v1\"]\n",
        scene.file(&public).display()
    );
    scene.bench.ohoci.write("config/ohoci/config.toml", rule);
    let onto = |target: &str| {
        scene.run(&[
            "compose", "--base", "@/app:1", "--env", "C=d", "--push", target,
        ])
    };
    onto("@/onto:1").exits(0);
    scene
        .run(&[
            "compose",
            "--base",
            "@/base:1",
            "--env",
            "A=e",
            "--push",
            "@/app:1",
            "--sign-key",
            &key,
        ])
        .exits(0);
    let refused = onto("@/onto:2").exits(1);
    assert!(
        refused
            .stderr
            .contains("no statement https://slsa.dev/provenance/v1 was found")
    );

    // Provenance without a key is there, and worth nothing to a verifier.
    scene
        .run(&[
            "compose",
            "--base",
            "@/base:1",
            "--env",
            "A=f",
            "--push",
            "@/plain:1",
            "--provenance",
        ])
        .exits(0);
    scene
        .run(&["verify", "--key", &public, "@/plain:1"])
        .exits(4);
}
