//! Other people's tools: skopeo and umoci read what ohoci wrote, bubblewrap runs it.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a program did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program of a Debian package to its end, with an empty home: whoever runs the tests may
/// have credentials and settings that would change what it does.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Done {
    let home = TempDir::new().unwrap();
    let output = Command::new(program)
        .args(arguments)
        .env("HOME", home.path())
        .env("XDG_CONFIG_HOME", home.path())
        .env("XDG_DATA_HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path())
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("DOCKER_CONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} does not start ({error}); run cargo xtask test"));
    Done {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs skopeo, which has to succeed; returns its standard output.
///
/// References name their transport, such as `docker://127.0.0.1:PORT/name:tag`; plain HTTP needs
/// `--src-tls-verify=false` and its like.
pub(crate) fn skopeo(arguments: &[&str]) -> String {
    succeed("skopeo", &[&["--insecure-policy"], arguments].concat())
}

fn succeed(program: &str, arguments: &[&str]) -> String {
    let done = run(program, arguments);
    assert_eq!(
        done.code,
        Some(0),
        "{program} {}:\n{}{}",
        arguments.join(" "),
        done.stdout,
        done.stderr
    );
    done.stdout
}

/// Runs a command in an image as a container runtime would: its files, environment, user and
/// working directory. Without a command, the image's own runs.
///
/// `source` is a skopeo reference. skopeo reads it, umoci unpacks it and translates its config,
/// bubblewrap runs it; this works as root and as anybody who may make user namespaces.
pub(crate) fn run_in_container(source: &str, command: &[&str]) -> Done {
    let work = TempDir::new().unwrap();
    let path = |name: &str| work.path().join(name).to_str().unwrap().to_owned();
    // By way of a directory with plain tars: umoci of Debian 12 cannot read zstd.
    let plain = format!("dir:{}", path("plain"));
    skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-decompress",
        source,
        &plain,
    ]);
    let layout = path("layout");
    skopeo(&["copy", "--quiet", &plain, &format!("oci:{layout}:image")]);
    let bundle = path("bundle");
    succeed(
        "umoci",
        &[
            "unpack",
            "--rootless",
            "--image",
            &format!("{layout}:image"),
            &bundle,
        ],
    );
    enter(Path::new(&bundle), command)
}

/// Runs the process that the bundle's `config.json` describes (runtime-spec `config.md`, "process").
fn enter(bundle: &Path, command: &[&str]) -> Done {
    let config: Value =
        serde_json::from_slice(&fs_err::read(bundle.join("config.json")).unwrap()).unwrap();
    let process = &config["process"];
    let words = |list: &Value| -> Vec<String> {
        list.as_array()
            .into_iter()
            .flatten()
            .map(|word| word.as_str().unwrap().to_owned())
            .collect()
    };
    let rootfs = bundle.join("rootfs").to_str().unwrap().to_owned();
    let mut arguments: Vec<String> = ["--unshare-all", "--die-with-parent", "--clearenv", "--bind"]
        .map(String::from)
        .into();
    arguments.extend([rootfs, "/".into()]);
    arguments.extend(["--proc", "/proc", "--dev", "/dev"].map(String::from));
    for pair in words(&process["env"]) {
        let (name, value) = pair.split_once('=').unwrap();
        arguments.extend(["--setenv".into(), name.into(), value.into()]);
    }
    for (option, value) in [
        ("--uid", &process["user"]["uid"]),
        ("--gid", &process["user"]["gid"]),
    ] {
        arguments.extend([option.into(), value.as_u64().unwrap_or(0).to_string()]);
    }
    arguments.extend([
        "--chdir".into(),
        process["cwd"].as_str().unwrap_or("/").into(),
        "--".into(),
    ]);
    if command.is_empty() {
        arguments.extend(words(&process["args"]));
    } else {
        arguments.extend(command.iter().map(ToString::to_string));
    }
    run(
        "bwrap",
        &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}
