//! A review of the sources: nothing outside of a sandbox takes a path into a tree that foreign code
//! may have touched, and git is started from one place.
//!
//! Such trees (a stage's changes, a workspace, an unpacked image) are reached through
//! `layer::Directory`, which follows no symlink, or `sandbox::Root`, whose symlinks end inside. What
//! calls the file system by path is listed here with how often it does, and why it may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What handles such trees.
const REVIEWED: [&str; 13] = [
    "crates/deps/src/bytecode",
    "crates/deps/src/place",
    "crates/deps/src/rootfs",
    "crates/layer",
    "crates/node",
    "crates/run",
    "crates/sandbox",
    "crates/swebench-evaluation",
    "crates/swebench-images",
    "crates/swebench-inputs",
    "crates/unpack",
    "src/run",
    "src/swebench",
];

/// What goes to the file system by path.
const CALLS: [&str; 16] = [
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

/// Files with how many such calls they have, and what these are about.
const ALLOWED: &[(&str, usize, &str)] = &[
    (
        "crates/node/src/sandboxes.rs",
        ANY,
        "the directories of sandboxes, beside what was written to them",
    ),
    (
        "crates/sandbox/src/merged.rs",
        1,
        "an attribute of an open directory, by the kernel's name for it",
    ),
    (
        "crates/node/src/addition.rs",
        2,
        "the store's own directories",
    ),
    (
        "crates/node/src/adjust.rs",
        ANY,
        "a directory that nothing runs in, with directories of its own making above every path",
    ),
    ("crates/node/src/fitness.rs", 3, "the store's own directory"),
    (
        "crates/node/src/index.rs",
        ANY,
        "lists beside a layer's files",
    ),
    (
        "crates/node/src/keep.rs",
        ANY,
        "directories that are made for a layer",
    ),
    ("crates/node/src/lock.rs", ANY, "locks"),
    (
        "crates/node/src/members.rs",
        2,
        "lists beside a layer's files",
    ),
    (
        "crates/node/src/package.rs",
        3,
        "a new directory for a package, and the note beside its files",
    ),
    (
        "crates/node/src/record.rs",
        ANY,
        "records beside a layer's files",
    ),
    (
        "crates/node/src/store.rs",
        ANY,
        "the store's own directories and locks",
    ),
    (
        "crates/node/src/verify.rs",
        ANY,
        "whether a layer is still there",
    ),
    ("crates/run/src/copy_on_write.rs", 3, "/proc"),
    (
        "crates/run/src/hosts.rs",
        3,
        "this machine's lists of hosts",
    ),
    ("crates/run/src/prepare.rs", 2, "mounts that the user names"),
    (
        "crates/run/src/sandboxes/copying.rs",
        3,
        "a file of this machine that is named",
    ),
    (
        "crates/run/src/sandboxes/sandbox.rs",
        1,
        "a directory for a sandbox's files",
    ),
    (
        "crates/swebench-images/src/conda_locks.rs",
        2,
        "the user's own directory of locks",
    ),
    (
        "crates/swebench-images/src/images.rs",
        ANY,
        "the cache's folder for pip",
    ),
    (
        "crates/swebench-images/src/push.rs",
        1,
        "whether a directory that the user names is there",
    ),
    (
        "crates/swebench-evaluation/src/carrier.rs",
        15,
        "files of runs, none of which is a symlink, and folders that the user names",
    ),
    (
        "crates/swebench-inputs/src/hub.rs",
        4,
        "datasets that Hugging Face's tools have downloaded",
    ),
    (
        "crates/swebench-inputs/src/dataset.rs",
        3,
        "whether a dataset is there, and whether it is a directory",
    ),
    (
        "crates/swebench-inputs/src/scripts.rs",
        1,
        "whether an instance's scripts are there",
    ),
    (
        "crates/swebench-evaluation/src/hand_over.rs",
        ANY,
        "the folder of a run",
    ),
    (
        "crates/swebench-images/src/engine.rs",
        1,
        "what starts shards",
    ),
    ("crates/swebench-evaluation/src/finished.rs", ANY, "reports"),
    ("crates/swebench-images/src/base_source.rs", 3, "logs"),
    (
        "crates/swebench-images/src/disk.rs",
        1,
        "the cache's own files",
    ),
    (
        "crates/swebench-images/src/hand_over.rs",
        5,
        "the folder in which shards leave their reports",
    ),
    (
        "crates/swebench-evaluation/src/assets.rs",
        4,
        "files that the user or the cache has, copied to a folder of ohoci's own",
    ),
    (
        "crates/swebench-evaluation/src/fetch_assets.rs",
        1,
        "the cache's folder",
    ),
    (
        "crates/swebench-evaluation/src/reader.rs",
        10,
        "a root file system of this machine's Python, made before a parser runs",
    ),
    (
        "crates/swebench-evaluation/src/regrade.rs",
        1,
        "whether a run has a log",
    ),
    (
        "crates/swebench-evaluation/src/run_folder.rs",
        ANY,
        "folders of runs",
    ),
    ("crates/deps/src/bytecode/kept.rs", 1, "the cache"),
    (
        "crates/swebench-evaluation/src/carried.rs",
        1,
        "layers that were fetched",
    ),
    (
        "crates/swebench-evaluation/src/folder.rs",
        ANY,
        "a run's folder",
    ),
    (
        "crates/swebench-evaluation/src/grader.rs",
        ANY,
        "a run's log",
    ),
    (
        "crates/swebench-evaluation/src/instance.rs",
        8,
        "a run's folder",
    ),
    (
        "crates/swebench-evaluation/src/instance_log.rs",
        ANY,
        "a run's log",
    ),
    (
        "crates/swebench-evaluation/src/roots.rs",
        1,
        "the directory that holds roots, and locks beside them",
    ),
    (
        "crates/swebench-evaluation/src/httpbin.rs",
        4,
        "a directory of its own, before the server in it is started",
    ),
    (
        "crates/swebench-evaluation/src/sandboxed.rs",
        4,
        "lists of hosts: this machine's, and one in a directory of its own; certificates there",
    ),
    (
        "crates/swebench-evaluation/src/workers.rs",
        ANY,
        "/proc/meminfo",
    ),
    (
        "crates/swebench-images/src/assembled.rs",
        3,
        "the layout that a base is kept in",
    ),
    (
        "crates/swebench-images/src/assembled/configure.rs",
        1,
        "the build's log",
    ),
    (
        "crates/swebench-images/src/audit.rs",
        3,
        "a repository that the audit makes itself",
    ),
    (
        "crates/swebench-images/src/builder/workplace.rs",
        6,
        "the directories that hold levels, and logs",
    ),
    (
        "crates/swebench-images/src/conda_install.rs",
        1,
        "the build's log",
    ),
    ("crates/swebench-images/src/error.rs", 1, "the build's log"),
    (
        "crates/swebench-images/src/git.rs",
        1,
        "where git is installed",
    ),
    ("crates/swebench-images/src/kept.rs", 2, "the cache"),
    (
        "crates/swebench-images/src/pip.rs",
        2,
        "this machine's configuration of pip",
    ),
    (
        "crates/swebench-images/src/python.rs",
        ANY,
        "a Python of this machine, which is only read",
    ),
    (
        "crates/swebench-images/src/repository.rs",
        11,
        "clones, in which nothing runs",
    ),
    (
        "crates/swebench-images/src/stage.rs",
        6,
        "directories and files beside a stage, and this machine's lists of hosts",
    ),
    (
        "crates/layer/src/directory.rs",
        1,
        "a file that the user gives as a layer, by its own name",
    ),
    (
        "crates/layer/src/pack.rs",
        2,
        "what the user gives as a layer, by its own name",
    ),
    (
        "crates/layer/src/source.rs",
        1,
        "what the user gives as a layer, by its own name",
    ),
    (
        "crates/sandbox/src/cgroup.rs",
        ANY,
        "control groups, whose files the kernel makes",
    ),
    (
        "crates/sandbox/src/control_group.rs",
        ANY,
        "control groups, whose files the kernel makes",
    ),
    ("crates/sandbox/src/covers.rs", ANY, "/proc"),
    (
        "crates/sandbox/src/defaults.rs",
        ANY,
        "/proc and control groups",
    ),
    (
        "crates/sandbox/src/host_user.rs",
        ANY,
        "/proc, and this machine's lists of users",
    ),
    (
        "crates/sandbox/src/joining.rs",
        ANY,
        "control groups, whose files the kernel makes",
    ),
    (
        "crates/sandbox/src/launch.rs",
        2,
        "/dev/null, and what the user or ohoci shows inside",
    ),
    (
        "crates/sandbox/src/launch/checks.rs",
        3,
        "what the user lets be written, by its own name; what is below is opened beneath it",
    ),
    (
        "crates/sandbox/src/memory_kills.rs",
        ANY,
        "control groups, whose files the kernel makes",
    ),
    (
        "crates/sandbox/src/staging.rs",
        ANY,
        "what is shown inside, by its own name, and a file system that only the sandbox sees",
    ),
    (
        "crates/sandbox/src/usage.rs",
        1,
        "the directory that is measured; what is below is opened beneath it",
    ),
    ("crates/sandbox/src/denial.rs", ANY, "/proc"),
    (
        "crates/sandbox/src/overlay.rs",
        ANY,
        "directories that are made before anything runs over them",
    ),
    (
        "crates/sandbox/src/workspace.rs",
        6,
        "programs of this machine, and directories that are made before anything runs over them",
    ),
    (
        "crates/sandbox/src/remove.rs",
        ANY,
        "directories by their own names, which lie in one of ohoci's",
    ),
    (
        "crates/sandbox/src/root.rs",
        5,
        "the root itself, its name in /proc, and locks in /proc",
    ),
    ("crates/sandbox/src/handle.rs", 1, "/proc"),
    ("crates/sandbox/src/memory_use.rs", 5, "/proc"),
    ("crates/sandbox/src/mount_table.rs", 1, "/proc"),
    ("crates/sandbox/src/open_files.rs", 2, "/proc"),
    (
        "crates/sandbox/src/set_up.rs",
        3,
        "/proc, and which directory a root is",
    ),
    ("crates/sandbox/src/run.rs", ANY, "where bwrap is installed"),
    ("crates/sandbox/src/streams.rs", 1, "/dev/null"),
    (
        "crates/unpack/src/unpack.rs",
        1,
        "the directory that is unpacked to; what is below is opened beneath it",
    ),
];

/// However many: nothing that they reach has been touched by foreign code.
const ANY: usize = usize::MAX;

/// Rooms and files that other rules hold for.
const NOT_REVIEWED: &[(&str, &str)] = &[(
    "crates/layer/src/beneath.rs",
    "it is what is to be used instead",
)];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
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
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            found.push((name, without_tests(&fs_err::read_to_string(&path).unwrap())));
        }
    }
}

fn without_tests(text: &str) -> String {
    let is_of_tests = |rest: &str| {
        let next = rest.lines().nth(1);
        next.is_some_and(|line| line.ends_with("mod tests {"))
    };
    let mut tests = text.match_indices("#[cfg(test)]\n");
    let end = tests.find(|(at, _)| is_of_tests(&text[*at..]));
    let code = &text[..end.map_or(text.len(), |(at, _)| at)];
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The calls by path in a text.
fn calls(text: &str) -> usize {
    let of_word = |word: &&str| {
        let found = text.match_indices(*word).map(|(at, _)| &text[at..]);
        let is_call = |rest: &&str| !HARMLESS.iter().any(|harmless| rest.starts_with(harmless));
        found.filter(is_call).count()
    };
    CALLS.iter().map(of_word).sum()
}

#[test]
fn what_foreign_code_may_have_touched_is_reached_by_descriptors() {
    let mut sources = Vec::new();
    for room in REVIEWED {
        files(&root().join(room), &mut sources);
    }
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, text) in &sources {
        let count = calls(text);
        if count > 0 && !NOT_REVIEWED.iter().any(|(path, _)| name.starts_with(path)) {
            found.insert(name, count);
        }
    }
    let allowed: BTreeMap<&str, usize> = ALLOWED
        .iter()
        .map(|(name, count, _)| (*name, *count))
        .collect();
    let differs: Vec<String> = found
        .iter()
        .filter(|(name, count)| {
            let known = allowed.get(*name).copied().unwrap_or_default();
            known != ANY && known != **count
        })
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
    let stale: Vec<_> = allowed
        .keys()
        .filter(|name| !found.contains_key(*name))
        .collect();
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
    (
        "crates/swebench-evaluation/src/patching.rs",
        "upstream's commands, run behind git::in_shell",
    ),
    (
        "crates/swebench-evaluation/src/sandboxed.rs",
        "a command that it runs behind git::in_shell",
    ),
    (
        "crates/deps/src/python/sdist/poetry/requires.rs",
        "a key of Poetry's",
    ),
    (
        "crates/swebench-images/src/base.rs",
        "the name of a program that bases have to have",
    ),
    ("crates/swebench-images/src/git.rs", "it is the place"),
    (
        "crates/swebench-images/src/instance.rs",
        "a command that it runs behind git::in_shell",
    ),
    (
        "crates/swebench-images/src/repository.rs",
        "how names of bare repositories end",
    ),
    (
        "crates/openhands/src/contract/check.rs",
        "a program that is looked for in an image",
    ),
    (
        "crates/swebench/src/eval_script.rs",
        "upstream's script, which a row could hold as well",
    ),
    ("crates/swebench/src/setup_script.rs", "upstream's script"),
    (
        "crates/swebench/src/datasets/live.rs",
        "its harness's script, within the instance's sandbox",
    ),
    (
        "crates/swebench/src/datasets/multi.rs",
        "a line for the instance's sandbox, which goes through that place",
    ),
    (
        "crates/swebench/src/datasets/pro.rs",
        "its harness's script, and a line that goes through that place",
    ),
];

/// Whether a text has git as a word at the beginning of a command line or alone.
fn starts_git(text: &str) -> bool {
    [
        "\"git ",
        "\"git\"",
        "git -c ",
        " git apply",
        " git checkout",
        "&& git ",
        "; git ",
    ]
    .into_iter()
    .any(|word| text.contains(word))
}

#[test]
fn git_is_started_from_one_place() {
    let mut sources = Vec::new();
    for part in ["crates", "src"] {
        files(&root().join(part), &mut sources);
    }
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
        "git is started through ohoci_swebench_images::git, which lets no repository name a program: {unknown:?}"
    );
    for (name, _) in GIT
        .iter()
        .filter(|(name, _)| name.contains("-evaluation/src/s") || name.ends_with("instance.rs"))
    {
        let text = &sources.iter().find(|(known, _)| known == name).unwrap().1;
        assert!(text.contains("git::in_shell("), "{name}");
    }
}
