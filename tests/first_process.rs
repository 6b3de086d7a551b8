//! A contract's server in a container, on a base that does nothing for it: as the first process it waits for
//! orphans and passes signals on, a root that is only read does not stop it, its user has a name, and what the
//! base's bundle of certificates trusts is trusted.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::file_server::FileServer;

use crate::support::certificates::Authority;
use crate::support::clients::run;
use crate::support::command::Ohoci;
use crate::support::tls_front::TlsFront;

/// Stands for the server: says what it was given, leaves orphans behind, and asks to be stopped.
const SERVER: &str = r#"#!/openhands/tools/bin/dash
export PATH=/openhands/tools/bin
trap 'echo "stopped by a signal"; exit 7' TERM
echo "arguments $1 $2 … $(shift 3; echo "$*")"
echo "first $(cat /proc/1/comm)"
(: >"$HOME/written") 2>/dev/null && (mkdir -p "$OH_CONVERSATIONS_PATH" && : >"$OH_CONVERSATIONS_PATH/written") && echo "wrote"
for each in 1 2 3; do
  dash -c 'sleep 0.1 & exit 0'
done
zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '; }
left() { cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^sleep$'; }
count=0
while [ "$(left)" -gt 0 ] || [ "$(zombies)" -gt 0 ]; do
  count=$((count + 1))
  [ $count -lt 300 ] || break
  sleep 0.1
done
echo "zombies $(zombies)"
kill -TERM 1
while :; do sleep 0.1; done
"#;

/// What it is like to be the server's user, and whom its programs trust.
const USER: &str = r#"
export PATH=/openhands/bin:/openhands/tools/bin:/openhands/micromamba/bin
echo "whoami $(whoami)"
ssh -G example 2>&1 | grep '^user '
python3.13 -E -c 'import getpass, os; print("python", getpass.getuser(), os.path.expanduser("~"))'
curl -sS "$URL/hello" 2>&1
python3.13 -E -c 'import os, urllib.request; print(urllib.request.urlopen(os.environ["URL"] + "/hello").read().decode().strip())' 2>&1 | tail -n 1
# Git gets an answer that is no repository's, and not a complaint of the certificate.
oh-git ls-remote "$URL/hello" 2>&1 | grep -c 'not found'
/openhands/tools/bin/git ls-remote "$URL/hello" 2>&1 | grep -c 'not found'
oh-node -e 'fetch(process.env.URL + "/hello").then(a => a.text()).then(t => console.log(t.trim()), e => console.log(e.cause))'
# Whom Chromium trusts besides.
dash -c '. /openhands/lib/oh/places; . /openhands/lib/oh/nss; certutil -L -d "sql:$HOME/.pki/nssdb"' 2>&1 |
  grep -c '^of the base 1 .* C,,'
"#;

/// The recipe of a deps image with that server, whose lock is not the project's: a mirror need not have what was
/// locked any longer.
fn recipe(ohoci: &Ohoci) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "layers/core.toml",
        "layers/node.toml",
        "layers/python.toml",
        "layers/python/bin/python3",
        "wrappers/lib/authorities",
        "wrappers/lib/first",
        "wrappers/lib/nss",
        "wrappers/lib/places",
        "wrappers/oh-action-execution-server",
        "wrappers/oh-agent-server",
        "wrappers/oh-bash",
        "wrappers/oh-git",
        "wrappers/oh-node",
        "wrappers/oh-python",
        "wrappers/oh-tmux",
    ] {
        let content = fs_err::read(root.join(file)).unwrap();
        ohoci.write(format!("work/{file}"), content);
    }
    let server = ohoci.write("work/server/bin/python", SERVER);
    fs_err::set_permissions(server, std::fs::Permissions::from_mode(0o755)).unwrap();
    ohoci.write(
        "work/layers/server.toml",
        "name = \"server\"\nrequires = [\"node\", \"python\"]\n\
         platforms = [\"linux/amd64\", \"linux/arm64\"]\n\
         [debian]\nsuite = \"trixie\"\nextra-suites = [\"trixie-security\"]\n\
         packages = [\"libnss3-tools\"]\ndrop = [\"usr/share/**\"]\n\
         [[directory]]\npath = \"../server\"\nto = \"poetry/oh\"\n\
         [[wrapper]]\nname = \"oh-agent-server\"\nfrom = \"../wrappers/oh-agent-server\"\n\
         [patch.labels]\n\"ohoci.contract\" = \"v1\"\n",
    );
}

fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    }
}

/// The unpacked image of a base with a shell, one user and one trusted authority, with the contract.
fn rootfs(ohoci: &Ohoci, authority: &Authority) -> PathBuf {
    recipe(ohoci);
    ohoci.run(["deps", "lock", "layers/server.toml"]).exits(0);
    let build = ["deps", "build", "layers/server.toml", "--locked"];
    let rest = ["--platform", platform(), "--output", "oci:deps:1"];
    ohoci.run([&build[..], &rest].concat()).exits(0);
    let shell = ohoci.write("work/files/bin/sh", fs_err::read("/bin/busybox").unwrap());
    fs_err::set_permissions(shell, std::fs::Permissions::from_mode(0o755)).unwrap();
    ohoci.write("work/files/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    ohoci.write(
        "work/files/etc/ssl/certs/ca-certificates.crt",
        fs_err::read(authority.file()).unwrap(),
    );
    let base = ["compose", "--base", "scratch", "--layer", "files"];
    let rest = ["--platform", platform(), "--push", "oci:base:1"];
    ohoci.run([&base[..], &rest].concat()).exits(0);
    let composed = ["compose", "--base", "oci:base:1", "--deps", "oci:deps:1"];
    let rest = ["--contract", "--fit", "auto", "--push", "oci:out:1"];
    ohoci.run([&composed[..], &rest].concat()).exits(0);
    ohoci.run(["check", "oci:out:1"]).exits(0);
    let rootfs = ohoci.work().join("rootfs");
    let image = format!("{}:1", ohoci.work().join("out").display());
    let unpack = ["raw", "unpack", "--rootless", "--image", &image];
    run(
        "umoci",
        &[&unpack[..], &[&rootfs.display().to_string()]].concat(),
    );
    for directory in ["proc", "dev"] {
        fs_err::create_dir_all(rootfs.join(directory)).unwrap();
    }
    rootfs
}

/// bubblewrap with a root that is only read, in which the program itself is the first process.
fn container(rootfs: &Path, more: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("bwrap");
    command
        .args([
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
        ])
        .args(more)
        .args(["--as-pid-1", "--die-with-parent", "--clearenv"])
        .args(["--uid", "10001", "--gid", "10001", "--ro-bind"])
        .arg(rootfs)
        .args(["/", "--proc", "/proc", "--dev", "/dev", "--remount-ro", "/"])
        .args(["--tmpfs", "/dev/shm"]);
    for (name, value) in environment {
        command.args(["--setenv", name, value]);
    }
    command
}

#[test]
#[ignore = "needs a Debian mirror, bubblewrap and umoci"]
fn a_server_needs_nothing_of_its_container() {
    let ohoci = Ohoci::new();
    let authority = Authority::new();
    let rootfs = rootfs(&ohoci, &authority);
    let python = "/agent-server/.venv/bin/python";
    let home = [("HOME", "/home/openhands")];
    for start in [
        &[python, "-m", "openhands.agent_server", "--port", "8000"][..],
        &["/usr/local/bin/openhands-agent-server", "--port", "8000"],
    ] {
        let mut command = container(&rootfs, &["--unshare-net"], &home);
        let output = command.args(start).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said,
            "arguments -E -c … --port 8000\nfirst tini\nwrote\nzombies 0\n\
             stopped by a signal\n",
            "{start:?}: {error}"
        );
        // tini ends as the server did.
        assert_eq!(output.status.code(), Some(7), "{error}");
    }

    let files = BTreeMap::from([("hello".to_owned(), b"hello\n".to_vec())]);
    let server = FileServer::start(files);
    let address = server.url();
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let front = TlsFront::start(address.parse().unwrap(), &authority);
    let url = format!("https://{}", front.address());
    let mut command = container(&rootfs, &[], &[home[0], ("URL", &url)]);
    command.args(["/openhands/tools/bin/dash", "-c", USER]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        said,
        "whoami openhands\nuser openhands\npython openhands /home/openhands\nhello\nhello\n1\n1\nhello\n1\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
