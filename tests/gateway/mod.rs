//! `ohoci registry serve --compose`: images that nobody pushed are pulled as if somebody had.

mod answers;
mod clients;
mod faults;
mod many;
mod replicas;
mod trust;

use ohoci_compose::read::this_machine;
use serde_json::Value;

use crate::support::command::Ohoci;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::peer::{Access, Peer};
use crate::support::serving::Serving;
use crate::support::workbench::{PATCH, Workbench, deps_directory};

/// A registry with bases and deps, and what composes on them.
struct Scene {
    registry: OhociRegistry,
    bench: Workbench,
}

impl Scene {
    /// A registry with the deps image `deps:1`, for two platforms.
    fn new() -> Self {
        let registry = OhociRegistry::start();
        let bench = Workbench::new(&registry.host(), registry.peer());
        let directory = deps_directory(&bench.ohoci, "deps-files");
        let layer = format!("{}:/openhands", directory.display());
        let label = format!("ohoci.patch={PATCH}");
        let here = this_machine().to_string();
        bench.composed(&[
            "--base",
            "scratch",
            "--platform",
            &here,
            "--platform",
            "linux/arm/v7",
            "--layer",
            &layer,
            "--label",
            &label,
            "--push",
            "@/deps:1",
        ]);
        Self { registry, bench }
    }

    /// A file with a rule `openhands/{repository}`, with these lines besides; an `@` in them stands for
    /// the registry.
    fn rule(&self, more: &str) -> String {
        rule(&self.registry.host(), more)
    }
}

fn rule(host: &str, more: &str) -> String {
    format!(
        "[[rule]]\nname = \"openhands/{{repository}}\"\nbase = \"{host}/{{repository}}\"\n\
         bases = [\"{host}/**\"]\n{}\n",
        more.replace('@', host)
    )
}

/// What composes as a file of rules says.
fn start(ohoci: &Ohoci, rules: &str, more: &[&str]) -> Serving {
    let file = ohoci.write("work/gateway.toml", rules);
    let file = file.to_str().unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--compose", file];
    Serving::start(ohoci, &[&arguments[..], more].concat())
}

fn peer(serving: &Serving) -> Peer {
    let url = format!("http://{}", serving.address);
    Peer::new(&url, Access::Anonymous, None, None)
}

/// The number of a name in `/metrics`.
fn metric(peer: &Peer, name: &str) -> u64 {
    let answer = peer.get("/metrics");
    let text = String::from_utf8(answer.body).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
        .parse()
        .unwrap()
}

/// The code and the message of a registry's error.
fn error(body: &[u8]) -> (String, String) {
    let body: Value = serde_json::from_slice(body).unwrap();
    let text = |field: &str| body["errors"][0][field].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}
