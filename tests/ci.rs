//! The definitions for CIs in `ci/` do what they say: the script that stands in each is run here, as its CI
//! would run it, against a registry that wants a password.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use ohoci_image::media_type::{Compression, Family};
use serde_json::Value;

use crate::support::command::{Ohoci, Outcome};
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};
use crate::support::images::{Layer, Node, bare};
use crate::support::peer::{Access, sha256};
use crate::support::schema;

/// A registry with a base, and a machine that has `ohoci` on its path.
struct Job {
    registry: DebianRegistry,
    ohoci: Ohoci,
}

impl Job {
    fn new() -> Self {
        let (registry, ohoci) = (DebianRegistry::with_password(), Ohoci::new());
        let content = Node::File(b"base".to_vec());
        let layer = Layer::pack(&[("etc/base", content)], Compression::Gzip);
        let peer = registry.peer(Access::Password);
        bare(Family::Oci, vec![layer])
            .build()
            .push(&peer, "base", "1");
        ohoci.write("work/tools dir/hello", "hello");
        fs_err::create_dir(ohoci.work().join("bin")).unwrap();
        let program = ohoci.command().get_program().to_owned();
        std::os::unix::fs::symlink(program, ohoci.work().join("bin/ohoci")).unwrap();
        Self { registry, ohoci }
    }

    fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.registry.host())
    }

    /// Runs a script with these variables, and those that a machine has.
    #[track_caller]
    fn run(&self, script: &[&str], variables: &[(&str, String)]) -> Outcome {
        let plain = self.ohoci.command();
        let mut command = Command::new("sh");
        command.env_clear().current_dir(self.ohoci.work());
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap());
        }
        let path = std::env::var("PATH").unwrap();
        command.env(
            "PATH",
            format!("{}/bin:{path}", self.ohoci.work().display()),
        );
        command.args(script).envs(variables.iter().cloned());
        Outcome::of(&mut command).exits(0)
    }

    /// What the registry has under a tag.
    fn digest(&self, repository: &str, tag: &str) -> String {
        let peer = self.registry.peer(Access::Password);
        sha256(&peer.manifest(repository, tag).1)
    }

    fn file(&self, name: &str) -> String {
        fs_err::read_to_string(self.ohoci.work().join(name)).unwrap()
    }
}

fn ci(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ci").join(file)
}

/// The block of text behind a line, as YAML's `|` has it.
fn block(text: &str, before: &str) -> String {
    let (_, rest) = text.split_once(before).expect("the line before the block");
    let mut lines = rest.lines().skip(1).peekable();
    let first = lines.peek().expect("a block");
    let indent = first.len() - first.trim_start().len();
    lines
        .take_while(|line| line.trim().is_empty() || line.starts_with(&" ".repeat(indent)))
        .map(|line| format!("{}\n", line.get(indent..).unwrap_or_default()))
        .collect()
}

/// The items of a list in YAML, behind the line that begins it.
fn items(text: &str, before: &str) -> Vec<String> {
    let (_, rest) = text.split_once(before).expect("the line before the list");
    rest.lines()
        .skip(1)
        .map_while(|line| line.trim_start().strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_shell_script_composes_and_tells() {
    let job = Job::new();
    let script = ci("shell/compose.sh");
    let push = format!("{}\n{}", job.reference("out:1"), job.reference("out:two"));
    let outcome = job.run(
        &[script.to_str().unwrap()],
        &[
            ("OHOCI_BASE", job.reference("base:1")),
            ("OHOCI_LAYERS", "tools dir:/opt".to_owned()),
            (
                "OHOCI_ENV",
                "GREETING=hello  world $HOME\nOTHER=*".to_owned(),
            ),
            ("OHOCI_LABELS", "a.b=c".to_owned()),
            ("OHOCI_PUSH", push),
            ("OHOCI_ARGS", "--workdir=/opt".to_owned()),
            ("OHOCI_REGISTRY", job.registry.host()),
            ("OHOCI_USERNAME", USER.to_owned()),
            ("OHOCI_PASSWORD", PASSWORD.to_owned()),
            ("OHOCI_JSON", "report.json".to_owned()),
            ("OHOCI_DIGEST_FILE", "digest".to_owned()),
            ("OHOCI_SUMMARY", "summary.md".to_owned()),
        ],
    );
    let digest = job.digest("out", "two");
    assert_eq!(job.digest("out", "1"), digest);
    assert_eq!(job.file("digest"), digest);
    assert_eq!(
        outcome.stdout,
        format!("{}@{digest}\n", job.reference("out"))
    );
    let report: Value = serde_json::from_str(&job.file("report.json")).unwrap();
    schema::satisfies(&report, "compose");
    let changes = report["changes"].to_string();
    assert!(changes.contains("hello  world $HOME"), "{changes}");
    let summary = job.file("summary.md");
    assert!(summary.contains("pushed: composed image"), "{summary}");
    assert!(
        summary.contains(&format!("| digest | `{digest}` |")),
        "{summary}"
    );
    assert!(!summary.contains("||"), "{summary}");
    // The password is nowhere that stays.
    assert!(!job.ohoci.work().join("../home/.docker").exists());
}

#[test]
fn githubs_action_has_its_outputs_and_a_summary() {
    let job = Job::new();
    let action = fs_err::read_to_string(ci("github/action.yml")).unwrap();
    let (_, compose) = action.split_once("      id: compose\n").unwrap();
    let script = block(compose, "      run: |");
    // Every input is handed over by the environment: none can put words into the script.
    assert!(!script.contains("${{"), "{script}");
    let mut variables: Vec<(&str, String)> = vec![
        ("RUNNER_TEMP", ".".to_owned()),
        ("GITHUB_OUTPUT", "outputs".to_owned()),
        ("GITHUB_STEP_SUMMARY", "summary.md".to_owned()),
    ];
    let (_, environment) = compose.split_once("      env:\n").unwrap();
    let inputs = BTreeMap::from([
        ("inputs.base", job.reference("base:1")),
        ("inputs.layers", "tools dir:/opt".to_owned()),
        ("inputs.push", job.reference("github:1")),
        ("inputs.registry", job.registry.host()),
        ("inputs.username", USER.to_owned()),
        ("inputs.password", PASSWORD.to_owned()),
        ("github.action_path", ci("github").display().to_string()),
    ]);
    for line in environment
        .lines()
        .map_while(|line| line.strip_prefix("        "))
    {
        let (name, value) = line.split_once(": ").unwrap();
        let (_, value) = value.split_once("${{ ").unwrap();
        let (input, rest) = value.split_once(" }}").unwrap();
        let value = inputs.get(input).cloned().unwrap_or_default();
        variables.push((name, format!("{value}{rest}")));
    }
    job.run(&["-ec", &script], &variables);
    let digest = job.digest("github", "1");
    let outputs = job.file("outputs");
    let reference = format!("reference={}@{digest}\n", job.reference("github"));
    assert!(outputs.starts_with(&reference), "{outputs}");
    assert!(outputs.contains(&format!("digest={digest}\n")), "{outputs}");
    let report: Value = serde_json::from_str(&job.file("ohoci-compose.json")).unwrap();
    schema::satisfies(&report, "compose");
    assert!(job.file("summary.md").contains(&digest));
}

#[test]
fn gitlabs_component_hands_the_image_to_later_jobs() {
    let job = Job::new();
    let component = fs_err::read_to_string(ci("gitlab/compose.yml")).unwrap();
    let script = block(&component, "  script:\n    - |");
    assert!(!script.contains("$[["), "{script}");
    job.run(
        &["-ec", &script],
        &[
            ("COMPOSE_VERSION", String::new()),
            ("COMPOSE_BASE", job.reference("base:1")),
            ("COMPOSE_DEPS", String::new()),
            ("COMPOSE_PUSH", job.reference("gitlab:1")),
            ("COMPOSE_ARGS", "--label=a=b --workdir=/opt".to_owned()),
            ("CI_REGISTRY", job.registry.host()),
            ("CI_REGISTRY_USER", USER.to_owned()),
            ("CI_REGISTRY_PASSWORD", PASSWORD.to_owned()),
        ],
    );
    let digest = job.digest("gitlab", "1");
    let wanted = format!(
        "OHOCI_REFERENCE={}@{digest}\nOHOCI_DIGEST={digest}\n",
        job.reference("gitlab")
    );
    assert_eq!(job.file("ohoci.env"), wanted);
}

#[test]
fn tektons_task_gives_the_digest() {
    let job = Job::new();
    let task = fs_err::read_to_string(ci("tekton/compose.yaml")).unwrap();
    let base = job.reference("base:1");
    let push = job.reference("tekton:1");
    let (_, step) = task.split_once("  steps:\n").unwrap();
    let arguments: Vec<String> = items(step, "      args:")
        .into_iter()
        .flat_map(|argument| match argument.as_str() {
            "$(params.args[*])" => vec!["--label=a=b".to_owned(), "--workdir=/opt".to_owned()],
            _ => vec![
                argument
                    .replace("$(params.base)", &base)
                    .replace("$(params.push)", &push)
                    .replace("$(results.digest.path)", "result"),
            ],
        })
        .collect();
    assert!(
        arguments.iter().all(|argument| !argument.contains("$(")),
        "{arguments:?}"
    );
    job.ohoci.log_in(&job.registry.host(), USER, PASSWORD);
    job.ohoci.run(&arguments).exits(0);
    assert_eq!(job.file("result"), job.digest("tekton", "1"));
}

#[test]
fn blocks_and_lists_are_found() {
    let text = "a:\n  run: |\n    one\n\n      two\n  b:\n    - x\n    - y\nc: 1\n";
    assert_eq!(block(text, "run: |"), "one\n\n  two\n");
    assert_eq!(items(text, "b:"), ["x", "y"]);
}
