//! What a run says: the result, the plan of a dry run, JSON, statistics, refusals to upload.

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};

use crate::support::debian_registry::DebianRegistry;
use crate::support::images::bare;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::Access;
use crate::support::requests;
use crate::support::workbench::Workbench;

#[test]
fn stdout_is_the_digest_reference_and_nothing_else() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let outcome = bench
        .compose(&[
            "--base", "@/base:1", "--env", "A=1", "--push", "@/app:1", "--stats",
        ])
        .exits(0);
    let digest = bench.pull("app", "1").digest;
    assert_eq!(outcome.stdout, format!("{}/app@{digest}\n", bench.host));
    let lines: Vec<&str> = outcome
        .stderr
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(lines, ["requests", "bytes", "time"], "{}", outcome.stderr);
    let quiet = bench
        .compose(&["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"])
        .exits(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn json_says_all_that_is_known() {
    let debian = DebianRegistry::open();
    let other = OhociRegistry::start();
    let bench = Workbench::new(&debian.host(), debian.peer(Access::Anonymous));
    bench.push_base("app", Family::Docker);
    let far = bare(Family::Oci, vec![])
        .many_layers(1, Compression::Gzip)
        .build();
    far.push(&other.peer(), "far", "1");
    bench.push_deps("@/deps:1");
    bench.ohoci.write("work/own/file", "own");
    let far = format!("{}/far:1", other.host());
    let outcome = bench
        .compose(&[
            "--format", "json", "--base", "@/app:1", "--deps", "@/deps:1", "--deps", &far,
            "--layer", "own", "--push", "@/app:2",
        ])
        .exits(0);
    let report = outcome.json();
    let made = bench.pull("app", "2");
    let host = &bench.host;
    assert_eq!(report["status"], json!("pushed"));
    assert_eq!(
        report["reference"],
        json!(format!("{host}/app@{}", made.digest))
    );
    assert_eq!(report["digest"], json!(made.digest));
    assert_eq!(report["mediaType"], json!(made.media_type));
    let (_, bytes) = bench.peer.manifest("app", "2");
    assert_eq!(report["size"], json!(bytes.len()));
    assert_eq!(report["platforms"], json!(["linux/amd64"]));
    let named = |name: String, digest: String| json!({"name": name, "digest": digest});
    assert_eq!(
        report["base"],
        named(format!("{host}/app:1"), bench.pull("app", "1").digest)
    );
    assert_eq!(
        report["deps"][0],
        named(format!("{host}/deps:1"), bench.pull("deps", "1").digest)
    );
    let layers = report["layers"].as_array().unwrap();
    let told: Vec<[&str; 2]> = layers
        .iter()
        .map(|layer| ["origin", "arrival"].map(|field| layer[field].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ["base", "present"],
            ["deps", "mounted"],
            ["deps", "copied"],
            ["local", "uploaded"]
        ]
    );
    for (layer, (descriptor, diff_id)) in layers.iter().zip(
        made.manifest["layers"]
            .as_array()
            .unwrap()
            .iter()
            .zip(made.config["rootfs"]["diff_ids"].as_array().unwrap()),
    ) {
        assert_eq!(layer["digest"], descriptor["digest"]);
        assert_eq!(layer["size"], descriptor["size"]);
        assert_eq!(layer["mediaType"], descriptor["mediaType"]);
        assert_eq!(layer["diffId"], *diff_id);
        assert_eq!(layer["platform"], json!("linux/amd64"));
    }
    let requests = report["requests"].as_object().unwrap();
    // The deps image was pushed from here, so that one look at its tag is enough.
    assert_eq!(
        [&requests["GET"], &requests["HEAD"]],
        [&json!(5), &json!(3)]
    );
    let number = |field: &str| report[field].as_u64().unwrap();
    assert!(number("bytesUp") > 0 && number("bytesDown") > 0);
    assert!(report["elapsedMs"].is_u64() && report["retries"] == json!(0));
}

#[test]
fn a_dry_run_prints_the_plan_and_only_reads() {
    let registry = OhociRegistry::start();
    let far = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let base = bench.push_base("base", Family::Docker);
    bench.push_deps("@/deps:1");
    bench.ohoci.write("work/own/file", "own");
    let far_target = format!("{}/app:1", far.host());
    let arguments = [
        "--base",
        "@/base:1",
        "--deps",
        "@/deps:1",
        "--layer",
        "own:/own",
        "--env",
        "A=1",
        "--push",
        "@/app:1",
        "--push",
        &far_target,
        "--push",
        "oci:layout:1",
    ];
    registry.take_requests();
    let outcome = bench
        .compose(&[&arguments[..], &["--dry-run"]].concat())
        .exits(0);
    let sent = [registry.take_requests(), far.take_requests()].concat();
    assert!(!sent.is_empty());
    assert_eq!(
        requests::count(&sent, "GET") + requests::count(&sent, "HEAD"),
        sent.len()
    );
    assert!(!bench.ohoci.work().join("layout").exists());
    let text = &outcome.stdout;
    for expected in [
        format!("base      {}/base:1 ({})", bench.host, base.digest),
        format!("push to {}/app:1", bench.host),
        format!("mount from {}/base", bench.host),
        format!("mount from {}/deps", bench.host),
        format!("push to {far_target}"),
        format!("copy from {}/deps:1", bench.host),
        "push to oci:layout:1".to_owned(),
        "upload".to_owned(),
        "config changes".to_owned(),
        "config.Env.A\n    + \"1\"".to_owned(),
        "config.Entrypoint".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected:?} is not in\n{text}");
    }

    let planned = bench.composed(&[&arguments[..], &["--dry-run"]].concat());
    assert_eq!(planned["status"], json!("planned"));
    assert_eq!(planned["layers"][0]["arrival"], Value::Null);
    assert_eq!(
        planned["targets"][0]["layers"][2]["plan"],
        json!("upload"),
        "{planned:#}"
    );
    let paths: Vec<&str> = planned["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    assert!(paths.contains(&"config.Env.A"), "{paths:?}");
    let real = bench.composed(&arguments);
    assert_eq!(
        real["digest"], planned["digest"],
        "the plan is what is done"
    );
}

#[test]
fn a_dry_run_needs_no_target() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let outcome = bench
        .compose(&["--base", "@/base:1", "--env", "A=1", "--dry-run"])
        .exits(0);
    assert!(
        outcome.stdout.contains("layers, lowest first"),
        "{}",
        outcome.stdout
    );
}

#[test]
fn no_upload_fails_with_the_reason_where_bytes_would_move() {
    let registry = DebianRegistry::open();
    let far = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer(Access::Anonymous));
    let base = bench.push_base("base", Family::Oci);
    bench.push_deps("@/deps:1");
    bench.composed(&[
        "--no-upload",
        "--base",
        "@/base:1",
        "--deps",
        "@/deps:1",
        "--push",
        "@/app:1",
    ]);

    bench.ohoci.write("work/own/file", "own");
    let outcome = bench
        .compose(&[
            "--no-upload",
            "--base",
            "@/base:1",
            "--layer",
            "own",
            "--push",
            "@/app:2",
        ])
        .exits(1);
    assert!(
        outcome.stderr.contains("without moving layer bytes") && outcome.stderr.contains("upload"),
        "{}",
        outcome.stderr
    );

    base.push(&far.peer(), "far", "1");
    let far_base = format!("{}/far:1", far.host());
    far.take_requests();
    let outcome = bench
        .compose(&[
            "--no-upload",
            "--base",
            &far_base,
            "--env",
            "A=1",
            "--push",
            "@/third:1",
        ])
        .exits(1);
    assert!(
        outcome.stderr.contains(&base.layers[0].digest)
            && outcome.stderr.contains("no repository on this registry"),
        "{}",
        outcome.stderr
    );
    let layer = &base.layers[0].digest;
    let asked = far.take_requests();
    assert!(
        asked.iter().all(|(_, target)| !target.contains(layer)),
        "{asked:?}"
    );
    assert!(bench.peer.blob("third", &base.layers[0].digest).is_none());
    // What is there already need not move, wherever the base is read from.
    bench.composed(&[
        "--no-upload",
        "--base",
        &far_base,
        "--env",
        "A=1",
        "--push",
        "@/base:2",
    ]);
}

#[test]
fn every_place_is_a_line_of_stdout_and_the_digest_goes_into_a_file() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let compose = |more: &[&str]| {
        let common = [
            "--base",
            "@/base:1",
            "--env",
            "A=1",
            "--digest-file",
            "digest",
        ];
        bench.compose(&[&common[..], more].concat())
    };
    compose(&["--push", "@/one:1", "--dry-run"]).exits(0);
    let file = bench.ohoci.work().join("digest");
    assert!(!file.exists(), "nothing was made");
    let outcome = compose(&[
        "--push",
        "@/one:1",
        "--push",
        "@/one:2",
        "--push",
        "@/two:1",
        "--push",
        "oci:layout:1",
    ])
    .exits(0);
    let digest = bench.pull("one", "1").digest;
    assert_eq!(
        outcome.stdout,
        format!(
            "{0}/one@{digest}\n{0}/two@{digest}\noci:layout:1\n",
            bench.host
        )
    );
    assert_eq!(fs_err::read_to_string(&file).unwrap(), digest);
    assert!(outcome.stderr.contains("layout"), "{}", outcome.stderr);
}

#[test]
fn tags_that_ohoci_made_are_said() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let outcome = bench
        .compose(&[
            "--base",
            "@/base:1",
            "--env",
            "A=1",
            "--tag-scheme",
            "content",
            "--push",
            "@/app",
        ])
        .exits(0);
    let tag = outcome
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("tagged "));
    let tag = tag.unwrap().rsplit_once(':').unwrap().1;
    let digest = bench.pull("app", tag).digest;
    assert_eq!(outcome.stdout, format!("{}/app@{digest}\n", bench.host));
}

#[test]
fn what_leads_nowhere_is_guessed_from_what_is_here() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    bench.composed(&[
        "--base",
        "@/base:1",
        "--env",
        "A=1",
        "--push",
        "oci:layout:1",
    ]);
    let refused = bench.run(&["copy", "./layout", "@/app:1"]);
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("oci:./layout"));
    let refused = bench.compose(&["--base", "./layout", "--env", "A=1", "--push", "@/app:1"]);
    assert!(
        refused.stderr.contains("oci:./layout"),
        "{}",
        refused.stderr
    );
}
