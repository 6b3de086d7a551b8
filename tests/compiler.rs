//! The compiler's layer, from a real Debian archive, compiles programs that run on a base without a C library.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::clients::run;
use crate::support::command::Ohoci;

const C: &str = "#include <math.h>\n#include <stdio.h>\n\
    int main(int count, char **words) { printf(\"C %g\\n\", sqrt(count + 8)); return 0; }\n";

const CXX: &str = "#include <iostream>\n#include <stdexcept>\n\
    int main() {\n  try { throw std::runtime_error(\"C++\"); }\n\
    \x20 catch (const std::exception &thrown) { std::cout << thrown.what() << std::endl; }\n}\n";

const MAKEFILE: &str = "all: c cxx static\n\
    c: c.o\n\t$(CC) -o $@ $< -lm\n\
    cxx: cxx.cc\n\t$(CXX) -O2 -o $@ $<\n\
    static: c.o\n\t$(CC) -static -o $@ $< -lm\n";

fn recipe(ohoci: &Ohoci) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in [
        "layers/core.toml",
        "layers/compiler.toml",
        "layers/compiler/bin/cpp",
        "layers/compiler/bin/g++",
        "layers/compiler/bin/gcc",
        "layers/compiler/lib/compiler",
        "wrappers/lib/places",
        "wrappers/oh-bash",
        "wrappers/oh-git",
        "wrappers/oh-tmux",
    ] {
        let content = fs_err::read(root.join(file)).unwrap();
        let copy = ohoci.write(format!("work/{file}"), content);
        fs_err::set_permissions(copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
#[ignore = "needs a Debian mirror, bubblewrap and umoci"]
fn what_it_makes_runs_where_there_is_no_c_library() {
    let ohoci = Ohoci::new();
    recipe(&ohoci);
    let platform = match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    };
    ohoci.run(["deps", "lock", "layers/compiler.toml"]).exits(0);
    let build = ["deps", "build", "layers/compiler.toml", "--locked"];
    let rest = ["--platform", platform, "--output", "oci:deps:1"];
    ohoci.run([&build[..], &rest].concat()).exits(0);
    // make starts what it is told by a shell of the base.
    let shell = ohoci.write("work/files/bin/sh", fs_err::read("/bin/busybox").unwrap());
    fs_err::set_permissions(shell, std::fs::Permissions::from_mode(0o755)).unwrap();
    ohoci.write("work/files/src/c.c", C);
    ohoci.write("work/files/src/cxx.cc", CXX);
    ohoci.write("work/files/src/Makefile", MAKEFILE);
    let base = ["compose", "--base", "scratch", "--layer", "files"];
    let rest = ["--deps", "oci:deps:1", "--platform", platform];
    let push = ["--push", "oci:out:1"];
    ohoci.run([&base[..], &rest, &push].concat()).exits(0);
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
    let mut command = Command::new("bwrap");
    command
        .args(["--unshare-all", "--die-with-parent", "--clearenv"])
        .args(["--uid", "10001", "--gid", "10001", "--ro-bind"])
        .arg(&rootfs)
        .args(["/", "--proc", "/proc", "--dev", "/dev", "--bind"])
        .arg(rootfs.join("src"))
        .args(["/src", "--remount-ro", "/", "--tmpfs", "/dev/shm"])
        // What would mislead a compiler, and programs.
        .args(["--setenv", "LD_LIBRARY_PATH", "/src"])
        .args(["--setenv", "TMPDIR", "/dev/shm"])
        .args(["--setenv", "PATH", "/bin:/openhands/tools/bin"])
        .args(["--chdir", "/src", "/bin/sh", "-c"])
        .arg("make >make.log 2>&1 || cat make.log; ./c; ./cxx; ./static");
    let output = command.output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "C 3\nC++\nC 3\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
