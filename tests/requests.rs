//! Requests are a budget: what each case of `ohoci compose` asks, and nothing else.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ohoci_image::media_type::{Compression, Family};
use serde_json::{Value, json};
use testbed::Relay;

use crate::support::command::Ohoci;
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::images::{Image, Index, bare, busybox};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::Access;
use crate::support::requests::{Words, count, take};
use crate::support::token_server::{Behaviour, TokenServer};
use crate::support::workbench::{Workbench, deps_layer};

/// A base of two layers and a deps image in Debian's registry, behind a relay, and an `ohoci` that
/// knows nothing of them.
struct Scene {
    relay: Relay,
    bench: Workbench,
    base: Image,
    deps: Image,
    _registry: DebianRegistry,
}

const ARGUMENTS: [&str; 6] = [
    "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/app:1",
];

impl Scene {
    fn new() -> Self {
        let registry = DebianRegistry::open();
        let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
        let bench = Workbench::new(
            &relay.address().to_string(),
            registry.peer(Access::Anonymous),
        );
        let base = bench.push_layers("base", 2);
        let deps = deps(Family::Oci);
        deps.push(&bench.peer, "deps", "1");
        Self {
            relay,
            bench,
            base,
            deps,
            _registry: registry,
        }
    }

    fn words(&self) -> Words {
        words(&self.base, &self.deps)
    }

    /// Composes, and lists what was asked in alphabetical order.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> (Value, Vec<String>) {
        take(&self.relay);
        let report = self.bench.composed(arguments);
        (report, self.words().sorted(&take(&self.relay)))
    }
}

fn deps(family: Family) -> Image {
    bare(family, vec![])
        .layer(deps_layer(Compression::Gzip))
        .set("Labels", json!({"ohoci.patch": "{\"env\":{\"A\":\"1\"}}"}))
        .build()
}

fn config_digest(image: &Image) -> String {
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"]["digest"].as_str().unwrap().to_owned()
}

fn words(base: &Image, deps: &Image) -> Words {
    Words::default()
        .name(&base.digest, "base")
        .name(&config_digest(base), "base config")
        .name(&base.layers[0].digest, "lower")
        .name(&base.layers[1].digest, "upper")
        .name(&deps.digest, "deps")
        .name(&config_digest(deps), "deps config")
        .name(&deps.layers[0].digest, "deps layer")
}

const COLD: [&str; 10] = [
    "GET base/blobs/<base config>",
    "GET base/manifests/1",
    "GET deps/blobs/<deps config>",
    "GET deps/manifests/1",
    "POST app/blobs/uploads/",
    "POST app/blobs/uploads/?mount=<deps layer>&from=deps",
    "POST app/blobs/uploads/?mount=<lower>&from=base",
    "POST app/blobs/uploads/?mount=<upper>&from=base",
    "PUT app/blobs/uploads/*",
    "PUT app/manifests/1",
];

#[test]
fn cold_with_mounts_each_document_is_read_once_and_each_layer_mounted_once() {
    let scene = Scene::new();
    take(&scene.relay);
    let report = scene.bench.composed(&ARGUMENTS);
    let traffic = scene.relay.take_traffic();
    let sent: Vec<_> = traffic
        .exchanges
        .iter()
        .map(|exchange| (exchange.method.clone(), exchange.path.clone()))
        .collect();
    assert_eq!(scene.words().sorted(&sent), COLD);
    let order = scene.words().of(&sent);
    let at = |line: &str| order.iter().position(|other| other == line).unwrap();
    assert_eq!(
        at("PUT app/manifests/1"),
        order.len() - 1,
        "the tag moves last"
    );
    assert!(at("GET base/manifests/1") < at("GET base/blobs/<base config>"));
    assert!(at("POST app/blobs/uploads/") < at("PUT app/blobs/uploads/*"));

    // What the run says of itself is what passed the wire; only documents did.
    let told = json!({"GET": 4, "POST": 4, "PUT": 2});
    assert_eq!(report["requests"], told);
    assert_eq!(report["bytesUp"], json!(traffic.sent()));
    assert_eq!(report["bytesDown"], json!(traffic.received()));
    let made = scene.bench.pull("app", "1");
    let (_, manifest) = scene.bench.peer.manifest("app", "1");
    let documents = manifest.len() + made.config_text.len();
    assert_eq!(traffic.sent(), documents as u64, "no layer moves");
}

#[test]
fn into_the_bases_own_repository_only_the_deps_layer_is_mounted() {
    let scene = Scene::new();
    let (_, asked) = scene.run(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", "@/base:2",
    ]);
    assert_eq!(
        asked,
        [
            "GET base/blobs/<base config>",
            "GET base/manifests/1",
            "GET deps/blobs/<deps config>",
            "GET deps/manifests/1",
            "POST base/blobs/uploads/",
            "POST base/blobs/uploads/?mount=<deps layer>&from=deps",
            "PUT base/blobs/uploads/*",
            "PUT base/manifests/2",
        ]
    );
}

#[test]
fn with_base_and_deps_known_by_digest_three_round_trips_do_and_nothing_is_read() {
    let scene = Scene::new();
    let (base, deps) = (
        format!("@/base@{}", scene.base.digest),
        format!("@/deps@{}", scene.deps.digest),
    );
    scene.run(&["--base", &base, "--deps", &deps, "--push", "@/app:1"]);
    let (_, asked) = scene.run(&[
        "--base", &base, "--deps", &deps, "--env", "NEW=1", "--push", "@/app:1",
    ]);
    // The HEAD goes beside the config's upload, so that there are three round trips.
    let three = [
        "HEAD app/blobs/<deps layer>",
        "POST app/blobs/uploads/?digest=*",
        "PUT app/blobs/uploads/*",
        "PUT app/manifests/1",
    ];
    assert_eq!(asked, three);
    // A tag with the digest names the same content and costs no more.
    let (base, deps) = (
        format!("@/base:1@{}", scene.base.digest),
        format!("@/deps:1@{}", scene.deps.digest),
    );
    let (_, asked) = scene.run(&[
        "--base", &base, "--deps", &deps, "--env", "NEW=2", "--push", "@/app:1",
    ]);
    assert_eq!(asked, three);
}

#[test]
fn with_nothing_to_do_each_tag_is_looked_at_once() {
    let scene = Scene::new();
    scene.run(&ARGUMENTS);
    let (report, asked) = scene.run(&ARGUMENTS);
    assert_eq!(report["status"], json!("unchanged"));
    assert_eq!(
        asked,
        [
            "HEAD app/manifests/1",
            "HEAD base/manifests/1",
            "HEAD deps/manifests/1"
        ]
    );
    let base = format!("@/base@{}", scene.base.digest);
    scene.run(&["--base", &base, "--env", "A=2", "--push", "@/app:2"]);
    let (report, asked) = scene.run(&["--base", &base, "--env", "A=2", "--push", "@/app:2"]);
    assert_eq!(report["status"], json!("unchanged"));
    assert_eq!(asked, ["HEAD app/manifests/2"]);
}

#[test]
fn skip_is_one_request_where_the_tag_exists() {
    let scene = Scene::new();
    scene.run(&ARGUMENTS);
    let fresh = Ohoci::new();
    take(&scene.relay);
    fresh
        .run(scene.bench.expand(&[
            "compose",
            "--base",
            "@/base:1",
            "--deps",
            "@/deps:1",
            "--env",
            "OTHER=1",
            "--if-exists",
            "skip",
            "--push",
            "@/app:1",
        ]))
        .exits(0);
    assert_eq!(
        scene.words().of(&take(&scene.relay)),
        ["HEAD app/manifests/1"]
    );
}

#[test]
fn a_second_tag_costs_one_request() {
    let scene = Scene::new();
    let (_, asked) = scene.run(&[&ARGUMENTS[..], &["--push", "@/app:2"]].concat());
    let expected: Vec<&str> = COLD.into_iter().chain(["PUT app/manifests/2"]).collect();
    assert_eq!(asked, expected);
}

#[test]
fn an_index_reads_each_image_once_and_mounts_each_layer_once() {
    let registry = DebianRegistry::open();
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let bench = Workbench::new(
        &relay.address().to_string(),
        registry.peer(Access::Anonymous),
    );
    let index = Index::busybox(Family::Oci, Compression::Gzip);
    index.push(&bench.peer, "base", "1");
    let deps = deps(Family::Oci);
    let others = bare(Family::Oci, vec![])
        .layer(deps.layers[0].clone())
        .platform("arm", Some("v7"))
        .build();
    let deps_index = Index::new(Family::Oci, vec![deps.clone(), others.clone()]);
    deps_index.push(&bench.peer, "deps", "1");
    take(&relay);
    bench.composed(&[&ARGUMENTS[..], &["--all-platforms"]].concat());
    let asked = take(&relay);
    let made = bench.pull("app", "1");
    let child = |at: usize| made.manifest["manifests"][at]["digest"].as_str().unwrap();
    let words = Words::default()
        .name(&index.images[0].digest, "base 0")
        .name(&index.images[1].digest, "base 1")
        .name(&config_digest(&index.images[0]), "base config 0")
        .name(&config_digest(&index.images[1]), "base config 1")
        .name(&index.images[0].layers[0].digest, "busybox")
        .name(&deps.digest, "deps 0")
        .name(&others.digest, "deps 1")
        .name(&config_digest(&deps), "deps config 0")
        .name(&config_digest(&others), "deps config 1")
        .name(&deps.layers[0].digest, "deps layer")
        .name(child(0), "child 0")
        .name(child(1), "child 1");
    assert_eq!(
        words.sorted(&asked),
        [
            "GET base/blobs/<base config 0>",
            "GET base/blobs/<base config 1>",
            "GET base/manifests/1",
            "GET base/manifests/<base 0>",
            "GET base/manifests/<base 1>",
            "GET deps/blobs/<deps config 0>",
            "GET deps/blobs/<deps config 1>",
            "GET deps/manifests/1",
            "GET deps/manifests/<deps 0>",
            "GET deps/manifests/<deps 1>",
            "POST app/blobs/uploads/",
            "POST app/blobs/uploads/?digest=*",
            "POST app/blobs/uploads/?mount=<busybox>&from=base",
            "POST app/blobs/uploads/?mount=<deps layer>&from=deps",
            "PUT app/blobs/uploads/*",
            "PUT app/blobs/uploads/*",
            "PUT app/manifests/1",
            "PUT app/manifests/<child 0>",
            "PUT app/manifests/<child 1>",
        ]
    );
    assert_eq!(words.of(&asked).last().unwrap(), "PUT app/manifests/1");
}

#[test]
fn to_another_registry_each_layer_is_asked_for_and_streamed_once() {
    let scene = Scene::new();
    let far = OhociRegistry::start();
    let target = format!("{}/app:1", far.host());
    let (report, read) = scene.run(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--push", &target,
    ]);
    assert_eq!(
        read,
        [
            "GET base/blobs/<base config>",
            "GET base/blobs/<lower>",
            "GET base/blobs/<upper>",
            "GET base/manifests/1",
            "GET deps/blobs/<deps config>",
            "GET deps/blobs/<deps layer>",
            "GET deps/manifests/1",
        ]
    );
    let ways: Vec<&Value> = report["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["arrival"])
        .collect();
    assert_eq!(ways, ["copied"; 3]);
    let written = scene.words().sorted(&far.take_requests());
    let starts = |text: &str| written.iter().filter(|line| line.starts_with(text)).count();
    assert_eq!(starts("HEAD app/blobs/"), 3, "{written:?}");
    assert_eq!(starts("GET"), 0, "{written:?}");
    assert_eq!(starts("PUT app/manifests/"), 1, "{written:?}");
    // Three layers and the config, each with at most an opening and an end.
    assert!(starts("P") <= 2 * 4 + 1, "{written:?}");

    // The next image on that base moves nothing.
    let next = format!("{}/app:2", far.host());
    let (_, read) = scene.run(&[
        "--base", "@/base:1", "--deps", "@/deps:1", "--env", "B=2", "--push", &next,
    ]);
    assert_eq!(read, ["HEAD base/manifests/1", "HEAD deps/manifests/1"]);
    let written = far.take_requests();
    // That one blob is still there is proof enough that the others are.
    assert_eq!(count(&written, "HEAD"), 1, "{written:?}");
    assert!(written.len() <= 3 + 1, "{written:?}");
}

#[test]
fn to_several_targets_elsewhere_each_layer_is_read_once() {
    let scene = Scene::new();
    let far = OhociRegistry::start();
    let targets = [
        format!("{}/one:1", far.host()),
        format!("{}/two:1", far.host()),
    ];
    let layers = |read: &[String]| {
        let is_layer = |line: &&String| line.contains("<lower>") || line.contains("<upper>");
        read.iter().filter(is_layer).cloned().collect::<Vec<_>>()
    };
    let once = ["GET base/blobs/<lower>", "GET base/blobs/<upper>"];
    let (report, read) = scene.run(&[
        "--base",
        "@/base:1",
        "--env",
        "A=1",
        "--push",
        &targets[0],
        "--push",
        &targets[1],
        "--push",
        "oci:layout:1",
    ]);
    assert_eq!(layers(&read), once);
    assert_eq!(report["targets"].as_array().unwrap().len(), 3);
    for repository in ["one", "two"] {
        for layer in &scene.base.layers {
            assert!(
                far.peer().blob(repository, &layer.digest).is_some(),
                "{repository}"
            );
        }
    }
    take(&scene.relay);
    let base = format!("{}/base:1", scene.bench.host);
    let copies = ["c1", "c2"].map(|name| format!("{}/{name}:1", far.host()));
    let outcome = scene
        .bench
        .ohoci
        .run(["copy", &base, &copies[0], &copies[1], "oci:copied:1"]);
    let outcome = outcome.exits(0);
    assert_eq!(layers(&scene.words().sorted(&take(&scene.relay))), once);
    let digest = &scene.base.digest;
    assert_eq!(
        outcome.stdout,
        format!(
            "{0}/c1@{digest}\n{0}/c2@{digest}\noci:copied:1\n",
            far.host()
        )
    );
}

#[test]
fn where_tokens_are_given_out_is_remembered_and_found_out_anew_when_it_moves() {
    let first = TokenServer::start(Behaviour::default());
    let registry = DebianRegistry::with_tokens(&first);
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let token = first.token_for(&["base", "app"]);
    let bench = Workbench::new(
        &relay.address().to_string(),
        registry.peer(Access::Token(token)),
    );
    bench.ohoci.log_in(&bench.host, USER, PASSWORD);
    bench.push_layers("base", 2);
    let run = |variable: &str| {
        bench.composed(&["--base", "@/base:1", "--env", variable, "--push", "@/app:1"]);
        let exchanges = relay.take_traffic().exchanges;
        exchanges
            .iter()
            .filter(|exchange| exchange.status == 401)
            .count()
    };
    assert_eq!(run("A=1"), 1, "cold, the registry says where");
    first.take_requests();
    assert_eq!(run("A=2"), 0, "then it is known");
    assert_eq!(first.take_requests().len(), 1);

    // What is remembered leads nowhere by now.
    let facts = bench.ohoci.work().join("../cache/ohoci/facts");
    let mut rewritten = 0;
    for shard in fs_err::read_dir(facts).unwrap() {
        let path = shard.unwrap().path();
        let files: Vec<_> = match path.is_dir() {
            true => fs_err::read_dir(&path)
                .unwrap()
                .map(|file| file.unwrap().path())
                .collect(),
            false => vec![path],
        };
        for file in files {
            let text = fs_err::read_to_string(&file).unwrap();
            if text.contains("token-server") {
                let elsewhere = format!("http://{}/nowhere", relay.address());
                fs_err::write(&file, text.replace(&first.realm(), &elsewhere)).unwrap();
                rewritten += 1;
            }
        }
    }
    assert_eq!(rewritten, 1);
    // The wrong place answers 404 in the registry's stead, and the registry is asked.
    assert_eq!(run("A=3"), 1);
    assert_eq!(run("A=4"), 0);
}

#[test]
fn one_401_and_one_token_are_enough_for_a_registry_that_honours_several_scopes() {
    let server = TokenServer::start(Behaviour::default());
    let registry = DebianRegistry::with_tokens(&server);
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let token = server.token_for(&["base", "deps", "app"]);
    let bench = Workbench::new(
        &relay.address().to_string(),
        registry.peer(Access::Token(token)),
    );
    bench.ohoci.log_in(&bench.host, USER, PASSWORD);
    let base = bench.push_layers("base", 2);
    let deps = deps(Family::Oci);
    deps.push(&bench.peer, "deps", "1");
    bench.composed(&ARGUMENTS);
    let traffic = relay.take_traffic();
    let refused = traffic
        .exchanges
        .iter()
        .filter(|exchange| exchange.status == 401);
    assert_eq!(refused.count(), 1, "{:?}", traffic.lines());
    let tokens = server.take_requests();
    assert_eq!(tokens.len(), 1, "{tokens:?}");
    let mut scopes = tokens[0].scopes.clone();
    scopes.sort();
    assert_eq!(
        scopes,
        [
            "repository:app:pull,push",
            "repository:base:pull",
            "repository:deps:pull"
        ]
    );
    let sent: Vec<_> = traffic
        .exchanges
        .into_iter()
        .map(|exchange| (exchange.method, exchange.path))
        .collect();
    let mut lines = words(&base, &deps).of(&sent);
    // The one that was refused is asked again.
    let first = lines.remove(0);
    assert!(lines.contains(&first), "{first} and then {lines:?}");
    lines.sort();
    assert_eq!(lines, COLD);
}

#[test]
fn what_is_remembered_wrongly_is_found_out_and_pushed_again() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    let base = bench.push_layers("base", 2);
    let deps = deps(Family::Oci);
    deps.push(&bench.peer, "deps", "1");
    let first = bench.composed(&ARGUMENTS);
    for arguments in [
        // The very same, which memory says is there; and another, whose layers memory says are.
        ARGUMENTS.to_vec(),
        [&ARGUMENTS[..], &["--env", "B=2"]].concat(),
    ] {
        fs_err::remove_dir_all(registry.directory().join("app")).unwrap();
        registry.take_requests();
        let report = bench.composed(&arguments);
        assert_eq!(report["status"], json!("pushed"));
        let made = bench.pull("app", "1");
        assert_eq!(report["digest"], json!(made.digest));
        assert_eq!(made.layers().len(), 3);
        for layer in made.layers() {
            assert!(bench.peer.blob("app", layer).is_some());
        }
        let lines = words(&base, &deps).of(&registry.take_requests());
        let mounts = lines.iter().filter(|line| line.contains("mount=")).count();
        assert_eq!(mounts, 3, "{lines:?}");
    }
    assert_eq!(
        bench.composed(&[&ARGUMENTS[..], &["--env", "B=2"]].concat())["status"],
        json!("unchanged")
    );
    assert_ne!(bench.pull("app", "1").digest, first["digest"]);
}

#[test]
fn a_base_tag_that_moved_is_noticed() {
    let scene = Scene::new();
    let (first, _) = scene.run(&ARGUMENTS);
    let moved = scene.bench.push_layers("base", 3);
    let (second, asked) = scene.run(&ARGUMENTS);
    assert_ne!(first["digest"], second["digest"]);
    assert_eq!(second["base"]["digest"], json!(moved.digest));
    let lines: Vec<&String> = asked
        .iter()
        .filter(|line| line.contains("base/manifests"))
        .collect();
    assert_eq!(lines, ["GET base/manifests/1", "HEAD base/manifests/1"]);
}

#[test]
fn the_configs_upload_is_opened_before_the_bases_config_has_arrived() {
    let opened = Arc::new((Mutex::new(false), Condvar::new()));
    let base = busybox(Family::Oci, Compression::Gzip).build();
    let config = config_digest(&base);
    let seen = Arc::clone(&opened);
    let registry = OhociRegistry::watched(move |record| {
        let (flag, changed) = &*seen;
        if record.method == "POST" && record.target == "/v2/app/blobs/uploads/" {
            *flag.lock().unwrap() = true;
            changed.notify_all();
        }
        if record.method == "GET" && record.target.contains(&config) {
            // A client that waits for the config first is let go in the end, and found out.
            let patience = Duration::from_secs(20);
            drop(
                changed
                    .wait_timeout_while(flag.lock().unwrap(), patience, |opened| !*opened)
                    .unwrap(),
            );
        }
    });
    let bench = Workbench::new(&registry.host(), registry.peer());
    base.push(&bench.peer, "base", "1");
    registry.take_requests();
    bench.composed(&["--base", "@/base:1", "--env", "A=1", "--push", "@/app:1"]);
    let order = Words::default().of(&registry.take_requests());
    let open = order
        .iter()
        .position(|line| line == "POST app/blobs/uploads/");
    let put = order
        .iter()
        .position(|line| line.starts_with("PUT app/blobs/"));
    let get = order
        .iter()
        .position(|line| line.starts_with("GET base/blobs/"));
    assert!(open.is_some() && open < put, "{order:?}");
    // The log is written when answers are ready, the config's before it was held back.
    assert!(*opened.0.lock().unwrap() && get < put, "{order:?}");
    assert_eq!(order.len(), 6, "{order:?}");
}
