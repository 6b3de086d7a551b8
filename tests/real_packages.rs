//! The layer of `layers/minimal.toml`, from a real Debian archive, on bases that have nothing and
//! next to nothing. `cargo xtask matrix` does this with all layers on many bases.

use std::path::Path;
use std::process::Command;

use crate::support::clients::run;
use crate::support::command::Ohoci;

/// Compiles what Python's `json` and a module of our own import.
const COMPILED: &str = r#"
name = "compiled"
requires = ["python", "own"]
platforms = ["linux/amd64", "linux/arm64"]
[bytecode]
python = "micromamba/bin/python3.13"
imports = ["json", "own"]
shown = ["code/**"]
"#;
/// A module of our own.
const OWN: &str = r#"
name = "own"
[[directory]]
path = "own"
to = "code"
[patch.env]
PYTHONPATH = "/openhands/code"
"#;

/// Copies the recipes, so that the lock which is made here is not the project's: a mirror need not
/// have what was locked any longer.
fn recipes(ohoci: &Ohoci) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "layers/minimal.toml",
        "layers/core.toml",
        "layers/python.toml",
        "layers/python/bin/python3",
        "wrappers/lib/first",
        "wrappers/lib/places",
        "wrappers/oh-action-execution-server",
        "wrappers/oh-bash",
        "wrappers/oh-git",
        "wrappers/oh-python",
        "wrappers/oh-tmux",
    ] {
        let content = fs_err::read(root.join(file)).unwrap();
        ohoci.write(format!("work/{file}"), content);
    }
}

fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

/// What the matrix's checks print in a root file system that is only read, as an unknown user, with variables
/// that would mislead the loader and no network.
fn checked(ohoci: &Ohoci, rootfs: &Path) -> String {
    for directory in ["proc", "dev", "tmp", "trap"] {
        fs_err::create_dir_all(rootfs.join(directory)).unwrap();
    }
    let trap = ohoci.work().join("trap");
    fs_err::create_dir_all(trap.join("lib")).unwrap();
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("xtask/src/matrix/checks");
    for script in fs_err::read_dir(checks).unwrap() {
        let script = script.unwrap();
        fs_err::copy(script.path(), trap.join(script.file_name())).unwrap();
    }
    for library in ["libz.so.1", "libcrypto.so.3", "libevent_core-2.1.so.7"] {
        fs_err::write(trap.join("lib").join(library), "no library").unwrap();
    }
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-all", "--die-with-parent", "--clearenv"])
        .args(["--uid", "10001", "--gid", "10001", "--ro-bind"])
        .arg(rootfs)
        .args(["/", "--proc", "/proc", "--dev", "/dev", "--ro-bind"])
        .arg(&trap)
        .args(["/trap", "--remount-ro", "/", "--tmpfs", "/dev/shm"])
        .args(["--setenv", "LD_LIBRARY_PATH", "/trap/lib"])
        .args(["--setenv", "LD_PRELOAD", "/trap/lib/missing.so"])
        .args(["/openhands/tools/bin/bash", "/trap/all.sh"]);
    let output = command.output().unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
#[ignore = "needs a Debian mirror, bubblewrap and umoci"]
fn tools_from_real_packages_work_where_there_is_nothing_else() {
    let ohoci = Ohoci::new();
    recipes(&ohoci);
    ohoci.run(["deps", "lock", "layers/minimal.toml"]).exits(0);
    let build = |out: &str, threads: &str| {
        ohoci
            .run([
                "deps",
                "build",
                "layers/minimal.toml",
                "--locked",
                "--platform",
                platform(),
                "--threads",
                threads,
                "--output",
                out,
                "--format",
                "json",
            ])
            .exits(0)
            .json()["digest"]
            .clone()
    };
    assert_eq!(build("oci:deps:1", "1"), build("oci:again:1", "3"));
    ohoci.write("work/busybox/bin/own", "");
    for (name, base) in [("scratch", "scratch"), ("nearly", "oci:nearly:1")] {
        if name == "nearly" {
            // A base with a shell of its own, and nothing that ours could use.
            let busybox = fs_err::read("/bin/busybox").unwrap();
            let path = ohoci.write("work/busybox/bin/sh", busybox);
            fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .unwrap();
            ohoci
                .run([
                    "compose", "--base", "scratch", "--layer", "busybox", "--push", base,
                ])
                .exits(0);
        }
        let composed = format!("oci:composed:{name}");
        ohoci
            .run([
                "compose",
                "--base",
                base,
                "--deps",
                "oci:deps:1",
                "--fit",
                "auto",
                "--push",
                &composed,
            ])
            .exits(0);
        let rootfs = ohoci.work().join(name);
        let image = format!("{}:{name}", ohoci.work().join("composed").display());
        run(
            "umoci",
            &[
                "raw",
                "unpack",
                "--rootless",
                "--image",
                &image,
                &rootfs.display().to_string(),
            ],
        );
        let said = checked(&ohoci, &rootfs);
        for check in ["bash", "tmux", "git", "git-https", "curl", "maps"] {
            assert!(said.contains(&format!("ok {check}\n")), "{name}:\n{said}");
        }
        assert!(!said.contains("FAIL"), "{name}:\n{said}");
    }
}

#[test]
#[ignore = "needs a Debian mirror and bubblewrap"]
fn modules_that_the_packed_python_compiled_are_used_by_it() {
    let ohoci = Ohoci::new();
    recipes(&ohoci);
    ohoci.write("work/layers/compiled.toml", COMPILED);
    ohoci.write("work/layers/own.toml", OWN);
    ohoci.write("work/layers/own/own.py", "import tarfile\n");
    ohoci.run(["deps", "lock", "layers/compiled.toml"]).exits(0);
    let build = |out: &str, threads: &str| {
        let mut command = ohoci.command();
        command
            .args(["deps", "build", "layers/compiled.toml", "--locked"])
            .args(["--platform", platform(), "--threads", threads])
            .args(["--output", out, "--format", "json"]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["digest"].clone()
    };
    let first = build("oci:deps:1", "1");
    // What the cache remembers would be taken from it.
    let forget = || fs_err::remove_dir_all(ohoci.work().join("../cache/ohoci/facts")).unwrap();
    forget();
    assert_eq!(first, build("oci:again:1", "3"));

    // Where one source has changed, what is known of the others comes to the same as if nothing were.
    ohoci.write("work/layers/own/own.py", "import asyncio, tarfile\n");
    let second = build("oci:changed:1", "2");
    assert_ne!(first, second);
    forget();
    assert_eq!(second, build("oci:anew:1", "1"));

    let said = |script: &str| {
        let python = "/openhands/micromamba/bin/python3.13";
        let arguments = [
            "run",
            "--read-only",
            "oci:deps:1",
            python,
            "-v",
            "-c",
            script,
        ];
        ohoci.run(arguments).exits(0)
    };
    let said = said("import json; print(json.loads('[1]'))");
    assert_eq!(said.stdout, "[1]\n");
    for module in ["json/__pycache__/__init__", "json/__pycache__/decoder"] {
        let line = format!("{module}.cpython-313.pyc matches");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
}
