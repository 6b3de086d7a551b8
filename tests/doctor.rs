//! `ohoci doctor` tells what is there, what is lacking with what mends it, and asks only registries that are
//! named.

use serde_json::Value;

use crate::support::command::Ohoci;
use crate::support::debian_registry::{DebianRegistry, PASSWORD, USER};

fn state<'a>(report: &'a Value, name: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["name"] == name);
    found.unwrap_or_else(|| panic!("nothing is said of {name} in {report:#}"))
}

#[test]
fn registries_are_asked_with_the_credentials_that_are_known() {
    let (ohoci, registry) = (Ohoci::new(), DebianRegistry::with_password());
    let host = registry.host();
    let ask = || ohoci.run(["doctor", &host, "--format=json"]);
    let without = ask().exits(4).json();
    let finding = state(&without, &host);
    assert_eq!(finding["state"], "lacking", "{finding}");
    assert!(
        finding["mend"].as_str().unwrap().contains("ohoci login"),
        "{finding}"
    );
    ohoci.log_in(&host, USER, PASSWORD);
    let with = ask().json();
    let finding = state(&with, &host);
    assert_eq!(finding["state"], "fine", "{finding}");
    assert!(
        finding["what"].as_str().unwrap().contains(USER),
        "{finding}"
    );
    assert!(!with.to_string().contains(PASSWORD), "{with}");
}

#[test]
fn what_is_not_there_is_lacking_and_what_mends_it_is_said() {
    let ohoci = Ohoci::new();
    let mut command = ohoci.command();
    command.args(["doctor", "--format=json"]);
    let empty = ohoci.work();
    let output = command.env("PATH", &empty).output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bubblewrap = state(&report, "bubblewrap");
    assert_eq!(bubblewrap["state"], "lacking");
    assert_eq!(bubblewrap["mend"], "apt-get install bubblewrap");
    let lacking = report["findings"].as_array().unwrap().iter();
    let lacking = lacking
        .filter(|finding| finding["state"] == "lacking")
        .count();
    assert_eq!(report["lacking"], lacking);
}

#[test]
fn a_text_has_a_line_for_each_thing_and_colours_nothing() {
    let ohoci = Ohoci::new();
    let report = ohoci.run(["doctor", "--format=json"]).json();
    let outcome = ohoci.run(["doctor"]);
    for finding in report["findings"].as_array().unwrap() {
        let name = finding["name"].as_str().unwrap();
        assert!(outcome.stdout.contains(name), "{name}: {}", outcome.stdout);
    }
    assert!(outcome.stdout.starts_with("ohoci 0."), "{}", outcome.stdout);
    let bubblewrap = state(&report, "bubblewrap");
    assert_eq!(bubblewrap["state"], "fine", "{bubblewrap}");
    assert_eq!(state(&report, "namespaces")["state"], "fine");
}
