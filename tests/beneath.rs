//! A review of the sources: nothing outside of a sandbox takes a path into a tree that foreign code
//! may have touched, and git is started from one place.
//!
//! Such trees (a stage's changes, a workspace, an unpacked image) are reached through
//! `layer::Directory`, which follows no symlink, or `sandbox::Root`, whose symlinks end inside. What
//! calls the file system by path is listed here with how often it does, and why it may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What handles such trees, below `src`.
const REVIEWED: [&str; 9] = [
    "cli/run",
    "cli/swebench",
    "deps/bytecode",
    "deps/place",
    "deps/rootfs",
    "evaluation",
    "instances",
    "layer",
    "sandbox",
];

/// What goes to the file system by path.
const CALLS: [&str; 17] = [
    "fs_err::",
    "std::fs::",
    "tokio::fs::",
    "rustix::fs::CWD",
    "rustix::fs::chmod",
    "rustix::fs::getxattr",
    "rustix::fs::lgetxattr",
    ".exists()",
    ".try_exists()",
    ".is_dir()",
    ".is_file()",
    ".is_symlink()",
    ".read_dir()",
    ".read_link()",
    ".canonicalize()",
    ".symlink_metadata()",
    "create_dir",
];

/// What a word of [`CALLS`] is part of without being a call by path.
const HARMLESS: [&str; 11] = [
    "fs_err::File::from_parts",
    "fs_err::File,",
    "fs_err::File)",
    "fs_err::File>",
    "fs_err::File;",
    "fs_err::File {",
    "std::fs::File::from(",
    "std::fs::File,",
    "std::fs::File>",
    "std::fs::Permissions",
    "std::fs::File;",
];

/// Files below `src` with how many such calls they have, and what these are about.
const ALLOWED: &[(&str, usize, &str)] = &[
];

/// Rooms and files that other rules hold for.
const NOT_REVIEWED: &[(&str, &str)] = &[
    ("layer/beneath.rs", "it is what is to be used instead"),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files below a directory, with what is no test of them and no comment.
fn files(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
            continue;
        }
        let is_code = path.extension().is_some_and(|extension| extension == "rs");
        if is_code && path.file_name().is_some_and(|name| name != "tests.rs") {
            let name = path.strip_prefix(source()).unwrap().display().to_string();
            found.push((name, without_tests(&fs_err::read_to_string(&path).unwrap())));
        }
    }
}

fn without_tests(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The calls by path in a text.
fn calls(text: &str) -> usize {
    let of_word = |word: &&str| {
        let at = text.match_indices(*word).map(|(at, _)| &text[at..]);
        let is_call = |rest: &&str| {
            !HARMLESS.iter().any(|harmless| rest.starts_with(harmless))
                && !(rest.starts_with("fs_err::") && *word != "fs_err::")
        };
        at.filter(is_call).count()
    };
    CALLS.iter().map(|word| of_word(&word)).sum()
}

#[test]
fn what_foreign_code_may_have_touched_is_reached_by_descriptors() {
    let mut sources = Vec::new();
    for room in REVIEWED {
        files(&source().join(room), &mut sources);
    }
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, text) in &sources {
        let count = calls(text);
        if count > 0 && !NOT_REVIEWED.iter().any(|(path, _)| name.starts_with(path)) {
            found.insert(name, count);
        }
    }
    let allowed: BTreeMap<&str, usize> =
        ALLOWED.iter().map(|(name, count, _)| (*name, *count)).collect();
    let differs: Vec<String> = found
        .iter()
        .filter(|(name, count)| allowed.get(*name) != Some(*count))
        .map(|(name, count)| {
            let known = allowed.get(name).copied().unwrap_or_default();
            format!("{name}: {count} calls by path, {known} of them reviewed")
        })
        .collect();
    assert!(
        differs.is_empty(),
        "use layer::Directory or sandbox::Root below trees that foreign code may have touched; \
         what takes other paths is listed in tests/beneath.rs:\n{}",
        differs.join("\n")
    );
    let stale: Vec<_> = allowed.keys().filter(|name| !found.contains_key(*name)).collect();
    assert!(stale.is_empty(), "listed, and without calls: {stale:?}");
}

#[test]
fn a_call_by_path_is_noticed() {
    for call in [
        "fs_err::write(stage.changes().join(name), text)?;",
        "std::fs::remove_dir_all(root)",
        "use fs_err::OpenOptions;",
        "tokio::fs::File::create(path)",
        "if root.join(\"etc\").exists() {",
        "openat(rustix::fs::CWD, path, flags, mode)",
    ] {
        assert_eq!(calls(call), 1, "{call}");
    }
    for none in ["let file: Option<fs_err::File>;", "found.is_directory()"] {
        assert_eq!(calls(none), 0, "{none}");
    }
    let text = "a();\n// fs_err::write\n#[cfg(test)]\nmod tests {\n fs_err::write(x)\n}\n";
    assert_eq!(calls(&without_tests(text)), 0);
}

/// Where git stands in a command line, and why it may.
const GIT: &[(&str, &str)] = &[
    ("evaluation/patching.rs", "upstream's commands, run behind git::in_shell"),
    ("evaluation/sandboxed.rs", "a command that it runs behind git::in_shell"),
    ("evaluation/diagnosis.rs", "headings of patches"),
    ("instances/base.rs", "the name of a program that bases have to have"),
    ("instances/git.rs", "it is the place"),
    ("instances/instance.rs", "a command that it runs behind git::in_shell"),
    ("swebench/eval_script.rs", "upstream's script, which a row could hold as well"),
    ("swebench/patch_paths.rs", "headings of patches"),
    ("swebench/setup_script.rs", "upstream's script"),
];

/// Whether a text has git as a word at the beginning of a command line or alone.
fn starts_git(text: &str) -> bool {
    ["\"git ", "\"git\"", "git -c ", " git apply", " git checkout", "&& git ", "; git "]
        .into_iter()
        .any(|word| text.contains(word))
}

#[test]
fn git_is_started_from_one_place() {
    let mut sources = Vec::new();
    files(&source(), &mut sources);
    let starting: Vec<&str> = sources
        .iter()
        .filter(|(_, text)| starts_git(text))
        .map(|(name, _)| name.as_str())
        .collect();
    let unknown: Vec<_> = starting
        .iter()
        .filter(|name| !GIT.iter().any(|(known, _)| known == *name))
        .collect();
    assert!(
        unknown.is_empty(),
        "git is started through instances::git, which lets no repository name a program: {unknown:?}"
    );
    for (name, _) in GIT.iter().filter(|(name, _)| name.starts_with("evaluation/s") || name.ends_with("instance.rs")) {
        let text = &sources.iter().find(|(known, _)| known == name).unwrap().1;
        assert!(text.contains("git::in_shell("), "{name}");
    }
}
