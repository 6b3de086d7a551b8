//! A base image of this machine's own bash, git and libraries, and its Python as a prefix: what CI
//! has without a network.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What busybox stands in for.
const APPLETS: [&str; 9] = [
    "cat", "chmod", "env", "ls", "mkdir", "patch", "rm", "sed", "sh",
];

/// This machine's Python.
pub(super) struct Python {
    pub(super) prefix: PathBuf,
    pub(super) version: String,
}

/// What a command writes.
pub(super) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(super) fn python() -> Python {
    let code = "import sys; print(sys.base_prefix); print('%d.%d' % sys.version_info[:2])";
    let text = said(Command::new("python3").args(["-c", code]));
    let (prefix, version) = text.split_once('\n').unwrap();
    Python {
        prefix: prefix.into(),
        version: version.to_owned(),
    }
}

/// Writes the base's root directory.
pub(super) fn write(root: &Path, python: &Python) {
    for directory in ["bin", "dev", "etc", "proc", "root", "tmp", "usr/bin"] {
        fs_err::create_dir_all(root.join(directory)).unwrap();
    }
    let passwd = "root:x:0:0:root:/root:/bin/bash\n";
    fs_err::write(root.join("etc/passwd"), passwd).unwrap();
    copy(Path::new("/bin/busybox"), &root.join("bin/busybox"));
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    let mut programs = Vec::new();
    for name in ["bash", "git"] {
        let program = said(Command::new("sh").args(["-c", &format!("command -v {name}")]));
        let program = fs_err::canonicalize(program).unwrap();
        copy(&program, &root.join("bin").join(name));
        programs.push(program);
    }
    let library = python.prefix.join("lib");
    programs.push(python.prefix.join(format!("bin/python{}", python.version)));
    let modules = library.join(format!("python{}/lib-dynload", python.version));
    for module in fs_err::read_dir(modules).unwrap() {
        programs.push(module.unwrap().path());
    }
    for library in libraries(&programs) {
        let to = root.join(library.strip_prefix("/").unwrap());
        copy(&library, &to);
    }
}

/// Adds programs of this machine, where they lie on it, and their libraries.
pub(super) fn add(root: &Path, programs: &[&Path]) {
    let programs: Vec<PathBuf> = programs.iter().map(|path| path.to_path_buf()).collect();
    for path in programs.iter().chain(&libraries(&programs)) {
        copy(path, &root.join(path.strip_prefix("/").unwrap()));
    }
}

/// What the loader finds for these programs, but for Python's own.
fn libraries(programs: &[PathBuf]) -> BTreeSet<PathBuf> {
    let output = Command::new("ldd").args(programs).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text
        .split_whitespace()
        .filter(|word| word.starts_with("/lib") || word.starts_with("/usr/lib"));
    let paths = words.map(|word| PathBuf::from(word.trim_end_matches(':')));
    paths
        .filter(|path| path.is_file() && !path.to_string_lossy().contains("lib-dynload"))
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to.parent().unwrap()).unwrap();
    let content =
        fs_err::read(from).unwrap_or_else(|error| panic!("{error}; run cargo xtask test"));
    fs_err::write(to, content).unwrap();
    fs_err::set_permissions(to, std::fs::Permissions::from_mode(0o755)).unwrap();
}
