//! The published JSON schemas of what commands print: every document that a test's run prints is held
//! against its command's.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

/// Commands whose documents have a schema, by the words that come first, and what it is called.
const COMMANDS: [(&[&str], &str); 18] = [
    (&["compose"], "compose"),
    (&["rebase"], "compose"),
    (&["batch"], "batch"),
    (&["copy"], "copy"),
    (&["index"], "copy"),
    (&["inspect"], "inspect"),
    (&["check"], "check"),
    (&["tags"], "tags"),
    (&["digest"], "digest"),
    (&["ls"], "ls"),
    (&["delete"], "delete"),
    (&["outdated"], "outdated"),
    (&["verify"], "verify"),
    (&["sign"], "sign"),
    (&["key", "generate"], "key-generate"),
    (&["doctor"], "doctor"),
    (&["swebench", "images"], "swebench-images"),
    (&["swebench", "run-evaluation"], "swebench-run-evaluation"),
];

/// Where they are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema")
}

/// All of them, by name.
pub(crate) fn all() -> &'static BTreeMap<String, Validator> {
    static ALL: OnceLock<BTreeMap<String, Validator>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found = BTreeMap::new();
        for entry in fs_err::read_dir(directory()).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let name = file.strip_suffix(".schema.json").unwrap();
            let text = fs_err::read_to_string(&path).unwrap();
            let schema: Value = serde_json::from_str(&text).unwrap();
            let validator = jsonschema::validator_for(&schema)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            found.insert(name.to_owned(), validator);
        }
        found
    })
}

/// Fails the test if a document is not what its schema says.
#[track_caller]
pub(crate) fn satisfies(document: &Value, name: &str) {
    let validator = &all()[name];
    let wrong: Vec<String> = validator
        .iter_errors(document)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        wrong.is_empty(),
        "docs/schema/{name}.schema.json: {wrong:#?} in {document:#}"
    );
}

/// Fails the test if a command line that asks for JSON printed something else than its schema says.
#[track_caller]
pub(crate) fn check<A: AsRef<OsStr>>(arguments: &[A], stdout: &str) {
    let words: Vec<&str> = arguments
        .iter()
        .filter_map(|word| word.as_ref().to_str())
        .collect();
    let wants_json = words.contains(&"--format=json")
        || words.windows(2).any(|pair| pair == ["--format", "json"]);
    let command = COMMANDS
        .iter()
        .find(|(command, _)| words.starts_with(command));
    let (true, Some((_, name))) = (wants_json, command) else {
        return;
    };
    let is_of_tags = words.contains(&"--all-tags") || words.contains(&"--tag");
    let is_of_signatures = words.contains(&"--key") || words.contains(&"--certificate-identity");
    let name = match *name {
        "copy" if is_of_tags => "copy-tags",
        "swebench-images" if words.contains(&"--dry-run") => "swebench-images-plan",
        "verify" if is_of_signatures && words.contains(&"--replay") => "verify-replay",
        "verify" if is_of_signatures => "verify-signatures",
        name => name,
    };
    if stdout.trim().is_empty() {
        return;
    }
    let document: Value = serde_json::from_str(stdout)
        .unwrap_or_else(|error| panic!("{words:?} printed no JSON: {error} in {stdout:?}"));
    satisfies(&document, name);
}
