//! Builds that say nothing of where they were made, and come out the same everywhere.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{output, root, target};
use crate::dist::{self, Release};

/// Separates flags in `CARGO_ENCODED_RUSTFLAGS`.
const SEPARATOR: &str = "\x1f";

/// Directories, and what they are called in the binary. Of several that fit, the last counts.
///
/// cargo's own `trim-paths` does the same, but is not stable yet.
#[derive(Debug)]
pub(crate) struct Paths(Vec<(PathBuf, &'static str)>);

impl Paths {
    /// Those of a build of the sources in a directory.
    pub(crate) fn of(source: &Path, target: &Path) -> Result<Self> {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let sysroot = output(
            Command::new("rustc")
                .args(["--print", "sysroot"])
                .current_dir(source),
        )?;
        Ok(Self(vec![
            (home.context("there is no home directory")?, "/cargo"),
            (
                PathBuf::from(sysroot.trim_end()).join("lib/rustlib/src/rust"),
                "/rustc/src",
            ),
            (source.to_owned(), "/ohoci"),
            (target.to_owned(), "/target"),
        ]))
    }

    /// Lets a build into the target directory give them their other names, in Rust and in C.
    pub(crate) fn rename(&self, build: &mut Command) {
        let mut rust: Vec<String> = std::env::var("RUSTFLAGS")
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        let mut c = Vec::new();
        for (directory, name) in &self.0 {
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
        if let Some((target, _)) = self.0.last() {
            build.env("CARGO_TARGET_DIR", target);
        }
        build
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_ENCODED_RUSTFLAGS", rust.join(SEPARATOR))
            .env("CFLAGS", c_flags("CFLAGS"))
            .env("CXXFLAGS", c_flags("CXXFLAGS"));
    }

    /// Fails if a program has one of them in it.
    pub(crate) fn check(&self, binary: &Path) -> Result<()> {
        let bytes = fs_err::read(binary)?;
        for (directory, _) in &self.0 {
            let path = directory.display().to_string();
            if contains(&bytes, path.as_bytes()) {
                bail!("{} has the path {path} in it", binary.display());
            }
        }
        Ok(())
    }
}

/// Builds every package twice, in two directories, and compares.
pub(crate) fn reproduce() -> Result<()> {
    let release = Release::checked_out()?;
    let place = target().join("reproduce");
    let mut made = Vec::new();
    // The names differ in length, so that nothing comes out right by chance.
    for name in ["one", "a-longer-name/two"] {
        let source = place.join(name);
        if source.exists() {
            fs_err::remove_dir_all(&source)?;
        }
        for file in release.files() {
            let to = source.join(file);
            fs_err::create_dir_all(to.parent().context("a file without a directory")?)?;
            let from = root().join(file);
            if fs_err::symlink_metadata(&from)?.is_symlink() {
                std::os::unix::fs::symlink(fs_err::read_link(&from)?, &to)?;
            } else {
                fs_err::copy(from, to)?;
            }
        }
        let target = source.join("target");
        made.push(dist::make(
            &release,
            &source,
            &target,
            &target.join("dist"),
        )?);
    }
    let [first, second] = made.as_slice() else {
        bail!("two builds were wanted");
    };
    let names = |files: &[PathBuf]| -> Vec<_> {
        let names = files
            .iter()
            .map(|file| file.file_name().map(ToOwned::to_owned));
        names.collect()
    };
    if names(first) != names(second) {
        bail!("one build made {first:?}, the other {second:?}");
    }
    for (first, second) in first.iter().zip(second) {
        let (one, two) = (fs_err::read(first)?, fs_err::read(second)?);
        if one != two {
            let at = one.iter().zip(&two).position(|(one, two)| one != two);
            bail!(
                "{} and {} differ, first at byte {}",
                first.display(),
                second.display(),
                at.unwrap_or(one.len().min(two.len()))
            );
        }
        println!(
            "both builds made the same {}: {} bytes",
            first.display(),
            one.len()
        );
    }
    Ok(())
}

/// Whether some bytes are somewhere among others.
pub(crate) fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    !wanted.is_empty() && bytes.windows(wanted.len()).any(|window| window == wanted)
}
