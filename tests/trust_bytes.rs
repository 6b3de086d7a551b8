//! A signature vouches for every byte below it: what was changed afterwards is refused, each thing in its own words,
//! and nothing is tagged.

use std::collections::BTreeSet;

use ohoci_image::media_type::Family;
use serde_json::Value;

use crate::support::certificates::key_pair;
use crate::support::command::Outcome;
use crate::support::ohoci_registry::OhociRegistry;
use crate::support::workbench::Workbench;

#[test]
fn each_byte_of_a_signed_image_is_what_was_signed() {
    let registry = OhociRegistry::start();
    let bench = Workbench::new(&registry.host(), registry.peer());
    bench.push_base("base", Family::Oci);
    let work = bench.ohoci.work();
    key_pair(&work);
    let run = |arguments: &[&str]| {
        let mut command = bench.ohoci.command();
        // What is remembered of an earlier run is no proof of what is there.
        let cache = tempfile::tempdir().unwrap();
        command.env("OHOCI_CACHE_DIR", cache.path());
        Outcome::of(command.args(bench.expand(arguments)))
    };
    let compose = |target: &str| {
        let place = "oci:store:1";
        run(&["compose", "--base", place, "--env", "A=b", "--push", target])
    };
    run(&["sign", "--key", "mine.pem", "@/base:1"]).exits(0);
    run(&["copy", "--referrers", "@/base:1", "oci:store:1"]).exits(0);
    let key = work.join("mine.pub");
    let rule = format!(
        "[[trust.rule]]\nimages = [\"oci:store*\"]\nkeys = [\"{}\"]\n",
        key.display()
    );
    bench.ohoci.write("config/ohoci/config.toml", rule);
    compose("@/good:1").exits(0);

    let blobs = work.join("store/blobs/sha256");
    let read = |digest: &str| -> Value {
        let hex = digest.trim_start_matches("sha256:");
        serde_json::from_slice(&fs_err::read(blobs.join(hex)).unwrap()).unwrap()
    };
    let text = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let image = run(&["digest", "oci:store:1"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    let index = fs_err::read(work.join("store/index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let referrer = entries.iter().map(text).find(|digest| *digest != image);
    let referrer = referrer.expect("the signature in the layout's index");
    let manifest = read(&image);
    let mut told = BTreeSet::new();
    let mut changed = vec![
        ("base", image),
        ("config", text(&manifest["config"])),
        ("layer", text(&manifest["layers"][0])),
        ("signature's manifest", referrer.clone()),
        ("bundle", text(&read(&referrer)["layers"][0])),
    ]
    .into_iter()
    .map(|(what, digest)| (what, blobs.join(digest.trim_start_matches("sha256:"))))
    .collect::<Vec<_>>();
    changed.push(("key", key));
    for (what, path) in changed {
        let right = fs_err::read(&path).unwrap();
        let mut wrong = right.clone();
        // A letter in the middle becomes another, so that what is text stays text.
        let at = (wrong.len() / 2..)
            .find(|at| wrong[*at].is_ascii_alphanumeric() || what == "layer")
            .unwrap();
        wrong[at] = if wrong[at] == b'7' { b'8' } else { b'7' };
        fs_err::write(&path, wrong).unwrap();
        let refused = compose("@/refused:1").exits(1);
        let reason: Vec<&str> = refused.stderr.lines().take(2).collect();
        assert!(told.insert(reason.join("\n")), "{what}: {}", refused.stderr);
        run(&["digest", "@/refused:1"]).exits(1);
        fs_err::write(&path, right).unwrap();
    }
    compose("@/good:2").exits(0);
}
