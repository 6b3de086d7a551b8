//! `ohoci batch`: many images in one run, each blob moved once, and a run that nothing spoils.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ohoci::oci::media_type::{Compression, Family};
use serde_json::{Value, json};
use testbed::Relay;

use crate::support::answering::{Answering, answer, image};
use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::DebianRegistry;
use crate::support::faulty_proxy::FaultyProxy;
use crate::support::images::{Image, Layer, Node, bare};
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, Peer};
use crate::support::requests::take;
use crate::support::workbench::deps_layer;

/// Images that share an environment's layer, as in SWE-bench.
const PER_ENVIRONMENT: usize = 20;

/// A registry with bases and a deps image, reached through something that is watched.
struct Scene {
    _registry: DebianRegistry,
    peer: Peer,
    /// What references name.
    host: String,
    ohoci: Ohoci,
    bases: Vec<Base>,
}

struct Base {
    name: String,
    digest: String,
}

fn file(path: &str, content: &str) -> Layer {
    Layer::pack(&[(path, Node::File(content.into()))], Compression::Gzip)
}

/// The deps image.
fn deps() -> Image {
    bare(Family::Docker, vec![])
        .layer(deps_layer(Compression::Gzip))
        .set("Labels", json!({"ohoci.patch": "{\"env\":{\"A\":\"1\"}}"}))
        .build()
}

/// Bases shaped like SWE-bench's: the root file system is everybody's, an environment that of
/// twenty, an instance's layer its own; each in its own repository.
fn push_bases(peer: &Peer, count: usize) -> Vec<Base> {
    let root = file("etc/os-release", "ID=debian\n");
    (0..count)
        .map(|number| {
            let environment = format!("opt/env/{}", number / PER_ENVIRONMENT);
            let instance = format!("testbed/{number}");
            let image = bare(Family::Docker, vec![root.clone()])
                .layer(file(&environment, &environment))
                .layer(file(&instance, &instance))
                .set("Env", json!(["PATH=/usr/bin"]))
                .build();
            let name = format!("sweb.eval.x86_64.{number:04}");
            image.push(peer, &format!("swebench/{name}"), "latest");
            Base {
                name,
                digest: image.digest,
            }
        })
        .collect()
}

impl Scene {
    /// `through` makes the host that references name, of the registry.
    fn new(count: usize, through: impl FnOnce(&DebianRegistry) -> String) -> Self {
        let registry = DebianRegistry::open();
        let peer = registry.peer(Access::Anonymous);
        let bases = push_bases(&peer, count);
        deps().push(&peer, "deps", "1");
        Self {
            host: through(&registry),
            _registry: registry,
            peer,
            ohoci: Ohoci::new(),
            bases,
        }
    }

    fn direct(count: usize) -> Self {
        Self::new(count, DebianRegistry::host)
    }

    fn reference(&self, base: &Base) -> String {
        format!("{}/swebench/{}:latest", self.host, base.name)
    }

    /// Writes the list of bases; returns the arguments that name it, the deps and the target.
    fn arguments(&self, repository: &str) -> Vec<String> {
        let list: Vec<String> = self.bases.iter().map(|b| self.reference(b)).collect();
        self.ohoci.write("work/bases", list.join("\n"));
        self.to(repository)
    }

    fn to(&self, repository: &str) -> Vec<String> {
        let deps = format!("{}/deps:1", self.host);
        let push = format!("{}/{repository}:{{name}}", self.host);
        [
            "batch", "--bases", "bases", "--deps", &deps, "--push", &push,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Runs it with more arguments.
    fn run(&self, arguments: &[String], more: &[&str]) -> Outcome {
        let more = more.iter().map(|text| (*text).to_owned());
        self.ohoci.run(arguments.iter().cloned().chain(more))
    }

    #[track_caller]
    fn summary(&self, arguments: &[String], more: &[&str]) -> Value {
        self.run(arguments, &[&["--format", "json"], more].concat())
            .exits(0)
            .json()
    }

    /// The digest behind each base's tag in a repository, none where there is no tag.
    fn tags(&self, repository: &str) -> Vec<Option<String>> {
        let one = |base: &Base| {
            let path = format!("/v2/{repository}/manifests/{}", base.name);
            let answer = self
                .peer
                .send(reqwest::Method::GET, &path, "", vec![])
                .unwrap();
            answer
                .status
                .is_success()
                .then(|| crate::support::peer::sha256(&answer.body))
        };
        self.bases.iter().map(one).collect()
    }

    /// Fails unless every layer and the config of a manifest can be read.
    #[track_caller]
    fn is_whole(&self, repository: &str, digest: &str) {
        let pulled = crate::support::workbench::pull(&self.peer, repository, digest);
        assert_eq!(pulled.layers().len(), 4);
        for layer in pulled.layers() {
            assert!(self.peer.blob(repository, layer).is_some(), "{layer}");
        }
    }

    fn records(&self) -> Vec<Value> {
        let text = fs_err::read_to_string(self.ohoci.work().join("ohoci-batch.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn requests(summary: &Value) -> u64 {
    let counts = summary["requests"].as_object().unwrap();
    counts.values().map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn requests_are_those_of_one_image_times_the_images_and_what_is_shared_moves_once() {
    let mut relay = None;
    let scene = Scene::new(40, |registry| {
        let started = Relay::start(registry.address(), Duration::ZERO).unwrap();
        let host = started.address().to_string();
        relay = Some(started);
        host
    });
    let relay = relay.unwrap();
    let arguments = scene.arguments("out/runtime");
    let summary = scene.summary(&arguments, &[]);
    let sent = take(&relay);
    assert_eq!(requests(&summary), sent.len() as u64);
    assert!(sent.len() as f64 / 40.0 <= 6.2, "{} requests", sent.len());
    assert_eq!(summary["built"], json!(40));

    let mut mounted: Vec<&str> = sent
        .iter()
        .filter_map(|(_, path)| path.split_once("mount=")?.1.split('&').next())
        .collect();
    let all = mounted.len();
    mounted.sort_unstable();
    mounted.dedup();
    // The root, two environments, forty instances and the deps.
    assert_eq!((all, mounted.len()), (44, 44));
    for digest in scene.tags("out/runtime") {
        scene.is_whole("out/runtime", &digest.unwrap());
    }

    let again = scene.summary(&arguments, &[]);
    let sent = take(&relay);
    assert_eq!(
        (&again["built"], &again["skipped"]),
        (&json!(0), &json!(40))
    );
    assert!(sent.len() as f64 / 40.0 <= 1.1, "{} requests", sent.len());

    let resumed = scene.summary(&arguments, &["--resume"]);
    assert_eq!(requests(&resumed), 0);
    assert_eq!(take(&relay).len(), 0);
    assert_eq!(resumed["total"], json!(40));

    // New deps on bases that are known by digest: a config and a manifest each.
    let newer = bare(Family::Docker, vec![file("openhands/new", "new")]).build();
    newer.push(&scene.peer, "deps", "2");
    let list: Vec<String> = scene
        .bases
        .iter()
        .map(|base| format!("{}/swebench/{}@{}", scene.host, base.name, base.digest))
        .collect();
    scene.ohoci.write("work/bases", list.join("\n"));
    let mut arguments = scene.to("out/runtime");
    arguments[4] = format!("{}/deps:2", scene.host);
    take(&relay);
    let summary = scene.summary(&arguments, &[]);
    assert_eq!(summary["built"], json!(40));
    // One mount of the new layer, and the deps' two documents.
    assert_eq!(take(&relay).len(), 40 * 3 + 3);
}

#[test]
fn bases_come_from_a_file_or_from_stdin_with_comments_and_each_counts_once() {
    let scene = Scene::direct(3);
    let first = scene.reference(&scene.bases[0]);
    let second = scene.reference(&scene.bases[1]);
    let list = format!("# the first\n{first}\n\n  {second}  \r\n{first}\n");
    let mut arguments = scene.arguments("out");
    scene.ohoci.write("work/bases", &list);
    assert_eq!(scene.summary(&arguments, &[])["total"], json!(2));

    arguments[2] = "-".to_owned();
    let mut child = scene
        .ohoci
        .command()
        .args(&arguments)
        .args(["--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    (&stdin).write_all(list.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&summary["total"], &summary["skipped"]),
        (&json!(2), &json!(2))
    );

    scene.ohoci.write("work/bases", "# nothing\n");
    let outcome = scene.run(&scene.to("out"), &[]).exits(2);
    assert!(
        outcome.stderr.contains("the list is empty"),
        "{}",
        outcome.stderr
    );
    scene
        .ohoci
        .write("work/bases", format!("{first}\nNOT A REFERENCE\n"));
    let outcome = scene.run(&scene.to("out"), &[]).exits(2);
    assert!(outcome.stderr.contains("bases:2: "), "{}", outcome.stderr);
}

#[test]
fn two_images_on_one_target_are_refused_before_anything_moves() {
    let registry = OhociRegistry::start();
    let host = registry.host();
    let ohoci = Ohoci::new();
    ohoci.write("work/bases", format!("{host}/a/x:1\n{host}/b/x:1\n"));
    let push = format!("{host}/out:{{name}}");
    let outcome = ohoci
        .run(["batch", "--bases", "bases", "--push", &push])
        .exits(2);
    let expected = format!("{host}/a/x:1 and {host}/b/x:1 would both become {host}/out:x");
    assert!(outcome.stderr.contains(&expected), "{}", outcome.stderr);

    // In a plan, the same base may come twice, but not with two results for one tag.
    let line = |env: &str| json!({"base": format!("{host}/a/x:1"), "env": [env], "push": format!("{host}/out:x")});
    ohoci.write("work/plan", format!("{}\n{}\n", line("A=1"), line("A=2")));
    let outcome = ohoci.run(["batch", "--plan", "plan"]).exits(2);
    assert!(outcome.stderr.contains("out:x"), "{}", outcome.stderr);
    // The default tag is a tag like any other.
    let lines = [
        json!({"base": format!("{host}/a/x:1"), "push": format!("{host}/out")}),
        json!({"base": format!("{host}/b/x:1"), "push": format!("{host}/out:latest")}),
    ];
    ohoci.write("work/plan", format!("{}\n{}\n", lines[0], lines[1]));
    ohoci.run(["batch", "--plan", "plan"]).exits(2);
    assert!(registry.take_requests().is_empty());
}

#[test]
fn a_template_names_each_target_after_its_base() {
    let scene = Scene::direct(2);
    let arguments = scene.arguments("out");
    let push = format!("{}/by/{{repository}}:{{tag}}-{{short_digest}}", scene.host);
    scene.summary(&[&arguments[..6], &[push]].concat(), &[]);
    for base in &scene.bases {
        let short = &base.digest["sha256:".len()..][..12];
        let repository = format!("by/swebench/{}", base.name);
        let (_, manifest) = scene.peer.manifest(&repository, &format!("latest-{short}"));
        assert!(!manifest.is_empty());
    }
    let outcome = scene
        .run(
            &[&arguments[..6], &["x.example/{nam}".to_owned()]].concat(),
            &[],
        )
        .exits(2);
    assert!(outcome.stderr.contains("{nam}"), "{}", outcome.stderr);
}

#[test]
fn a_plan_has_composes_flags_as_fields() {
    let scene = Scene::direct(2);
    let line = |base: &Base, env: &str| {
        let push = format!("{}/out:{}-{env}", scene.host, base.name);
        json!({"base": scene.reference(base), "deps": [format!("{}/deps:1", scene.host)],
               "env": [format!("WHICH={env}")], "keep_cmd": true, "push": push})
    };
    let [first, second] = [&scene.bases[0], &scene.bases[1]];
    let plan = [
        line(first, "a"),
        line(first, "b"),
        line(second, "c"),
        line(first, "a"),
    ];
    let plan: Vec<String> = plan.iter().map(Value::to_string).collect();
    scene
        .ohoci
        .write("work/plan", format!("# plan\n{}\n", plan.join("\n")));
    let summary: Value = scene
        .ohoci
        .run(["batch", "--plan", "plan", "--format", "json"])
        .exits(0)
        .json();
    assert_eq!(
        summary["built"],
        json!(3),
        "the same line twice is one image"
    );
    for (base, env) in [(first, "a"), (first, "b"), (second, "c")] {
        let tag = format!("{}-{env}", base.name);
        let made = crate::support::workbench::pull(&scene.peer, "out", &tag);
        let expected = format!("WHICH={env}");
        assert!(made.env().contains(&expected.as_str()), "{:?}", made.env());
        assert!(made.env().contains(&"A=1"));
    }

    for (bad, expected) in [
        (r#"{"base": "a", "push": "b", "no_such": 1}"#, "plan:1: "),
        (r#"{"base": "a", "push": {"b": 1}}"#, "plan:1: "),
        ("not json", "plan:1: "),
        (r#"{"base": "a", "push": "b", "dry_run": true}"#, "dry_run"),
    ] {
        scene.ohoci.write("work/plan", bad);
        let outcome = scene.ohoci.run(["batch", "--plan", "plan"]).exits(2);
        assert!(
            outcome.stderr.contains(expected),
            "{bad}: {}",
            outcome.stderr
        );
    }
    // What the lines do not say would be passed over in silence.
    scene
        .ohoci
        .run(["batch", "--plan", "plan", "--env", "A=1"])
        .exits(2);
}

#[test]
fn without_push_the_projects_target_counts() {
    let scene = Scene::direct(1);
    let arguments = scene.arguments("out");
    let project = format!("[compose]\npush = [\"{}/project:1\"]\n", scene.host);
    scene.ohoci.write("work/ohoci.toml", project);
    scene.summary(&arguments[..5], &[]);
    scene.is_whole("project", "1");
}

#[test]
fn a_record_has_the_fields_of_openhands_build_output() {
    let scene = Scene::direct(2);
    let arguments = scene.arguments("out");
    scene.run(&arguments, &[]).exits(0);
    let records = scene.records();
    assert_eq!(records.len(), 2);
    for record in &records {
        let name = record["base_image"].as_str().unwrap();
        let base = scene
            .bases
            .iter()
            .find(|b| scene.reference(b) == name)
            .unwrap();
        assert_eq!(record["status"], json!("built"));
        assert_eq!(
            record["tags"],
            json!([format!("{}/out:{}", scene.host, base.name)])
        );
        assert_eq!(record["attempt_count"], json!(1));
        for absent in ["error", "log_path", "skip_reason"] {
            assert_eq!(record.get(absent), Some(&Value::Null), "{absent}");
        }
        for time in ["time", "started_at", "finished_at"] {
            let text = record[time].as_str().unwrap();
            assert!(text.starts_with("20") && text.ends_with('Z'), "{text}");
        }
        for seconds in [
            "duration_seconds",
            "remote_check_seconds",
            "build_seconds",
            "post_build_seconds",
        ] {
            assert!(record[seconds].as_f64().unwrap() >= 0.0, "{seconds}");
        }
    }
    scene.run(&arguments, &[]).exits(0);
    for record in scene.records() {
        assert_eq!(record["status"], json!("skipped_remote_exists"));
        assert!(record["skip_reason"].is_string());
    }
    assert!(scene.ohoci.work().join("ohoci-batch.jsonl.old").exists());
}

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

/// A batch over a relay that counts, twice: images of `app`, then the same with newer deps.
#[test]
fn rebasing_a_set_pushes_two_documents_each() {
    let registry = DebianRegistry::open();
    let relay = Relay::start(registry.address(), Duration::ZERO).unwrap();
    let peer = registry.peer(Access::Anonymous);
    let bases = push_bases(&peer, 30);
    deps().push(&peer, "deps", "1");
    let newer = file("openhands/newer", "newer");
    bare(Family::Docker, vec![newer])
        .build()
        .push(&peer, "deps", "2");
    let scene = Scene {
        host: relay.address().to_string(),
        _registry: registry,
        peer,
        ohoci: Ohoci::new(),
        bases,
    };
    scene.summary(&scene.arguments("app"), &[]);
    let before = scene.tags("app");

    let images: Vec<String> = scene
        .bases
        .iter()
        .map(|base| format!("{}/app:{}", scene.host, base.name))
        .collect();
    scene.ohoci.write("work/images", images.join("\n"));
    let rebase = [
        "batch".to_owned(),
        "--rebase".to_owned(),
        "images".to_owned(),
        "--keep-base".to_owned(),
        "--deps".to_owned(),
        format!("{}/deps:2", scene.host),
    ];
    take(&relay);
    let summary = scene.summary(&rebase, &["--journal", "rebase.jsonl", "--no-upload"]);
    let requests = take(&relay).len();
    assert_eq!(summary["built"], json!(30));
    assert!(requests <= 30 * 3 + 8, "{requests} requests");

    // The same as composing anew with the newer deps.
    let anew = scene.arguments("anew");
    let anew: Vec<String> = anew
        .iter()
        .map(|argument| argument.replace("/deps:1", "/deps:2"))
        .collect();
    scene.summary(&anew, &["--journal", "anew.jsonl"]);
    let after = scene.tags("app");
    assert_eq!(after, scene.tags("anew"));
    assert!(
        before
            .iter()
            .zip(&after)
            .all(|(before, after)| before != after)
    );

    take(&relay);
    let resumed = scene.summary(&rebase, &["--journal", "rebase.jsonl", "--resume"]);
    assert_eq!(resumed["total"], json!(30));
    assert_eq!(take(&relay).len(), 0);
}

#[test]
fn what_carries_no_record_fails_alone_when_a_set_is_rebased() {
    let scene = Scene::direct(2);
    scene.summary(&scene.arguments("app"), &[]);
    let images = [
        format!("{}/app:{}", scene.host, scene.bases[0].name),
        scene.reference(&scene.bases[1]),
    ];
    scene.ohoci.write("work/images", images.join("\n"));
    let rebase = ["batch", "--rebase", "images"].map(str::to_owned);
    let outcome = scene.run(&rebase, &["--format", "json"]);
    let outcome = outcome.exits(3);
    let summary = outcome.json();
    assert_eq!(summary["failed"], json!(1), "{summary}");
    let refused = scene.run(&rebase, &["--env", "A=1"]).exits(2).stderr;
    assert!(refused.contains("--env"), "{refused}");
}
