//! Building the binary so that it says nothing of where it was built, and comes out the same
//! everywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{self, cargo, output, root, target};

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";

/// Directories, and what they are called in the binary. Of several that fit, the last counts.
///
/// cargo's own `trim-paths` does the same, but is not stable yet.
fn renamed(source: &Path, target: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sysroot = output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(source),
    )?;
    Ok(vec![
        (home.context("there is no home directory")?, "/cargo"),
        (
            PathBuf::from(sysroot.trim_end()).join("lib/rustlib/src/rust"),
            "/rustc/src",
        ),
        (source.to_owned(), "/ohoci"),
        (target.to_owned(), "/target"),
    ])
}

/// Builds the sources in a directory; where the binary is.
pub(crate) fn build(source: &Path, target: &Path) -> Result<PathBuf> {
    let renamed = renamed(source, target)?;
    let mut rust: Vec<String> = std::env::var("RUSTFLAGS")
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let mut c = Vec::new();
    for (directory, name) in &renamed {
        rust.push(format!(
            "--remap-path-prefix={}={name}",
            directory.display()
        ));
        c.push(format!("-ffile-prefix-map={}={name}", directory.display()));
    }
    let c_flags = |variable: &str| {
        let given = std::env::var(variable).unwrap_or_default();
        format!("{given} {}", c.join(" ")).trim_start().to_owned()
    };
    command::run(
        cargo()
            .args(["build", "--release", "--locked", "--bin", "ohoci"])
            .current_dir(source)
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_ENCODED_RUSTFLAGS", rust.join(SEPARATOR))
            .env("CFLAGS", c_flags("CFLAGS"))
            .env("CXXFLAGS", c_flags("CXXFLAGS")),
    )?;
    let binary = target.join("release/ohoci");
    let bytes = fs_err::read(&binary)?;
    for (directory, _) in &renamed {
        let path = directory.display().to_string();
        if contains(&bytes, path.as_bytes()) {
            bail!("{} has the path {path} in it", binary.display());
        }
    }
    Ok(binary)
}

/// Builds twice, in two directories, and compares.
pub(crate) fn reproduce() -> Result<()> {
    let place = target().join("reproduce");
    let files = output(
        Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(root()),
    )?;
    let mut made = Vec::new();
    // The names differ in length, so that nothing comes out right by chance.
    for name in ["one", "a-longer-name/two"] {
        let source = place.join(name);
        if source.exists() {
            fs_err::remove_dir_all(&source)?;
        }
        for file in files.split_terminator('\0') {
            let to = source.join(file);
            fs_err::create_dir_all(to.parent().context("a file without a directory")?)?;
            let from = root().join(file);
            if fs_err::symlink_metadata(&from)?.is_symlink() {
                std::os::unix::fs::symlink(fs_err::read_link(&from)?, &to)?;
            } else {
                fs_err::copy(from, to)?;
            }
        }
        let binary = build(&source, &source.join("target"))?;
        made.push((binary.clone(), fs_err::read(binary)?));
    }
    let [(first, one), (second, two)] = made.as_slice() else {
        bail!("two builds were wanted");
    };
    if one != two {
        let at = one.iter().zip(two).position(|(one, two)| one != two);
        bail!(
            "{} and {} differ, first at byte {}",
            first.display(),
            second.display(),
            at.unwrap_or(one.len().min(two.len()))
        );
    }
    println!("both builds are the same {} bytes", one.len());
    Ok(())
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}
