//! The Python wheel: the program, built for glibc 2.17, beside the package that starts it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Release;
use super::archive::SBOM;
use crate::environment::Environment;
use crate::release::Paths;
use crate::{command, sbom};

/// How large a wheel may become, in bytes.
const LIMIT: u64 = 15_000_000;

/// Builds the wheel; where it is, and where the program in it is.
pub(super) fn build(
    release: &Release,
    tools: &Environment,
    source: &Path,
    target: &Path,
    name: &str,
    dist: &Path,
) -> Result<(PathBuf, PathBuf)> {
    let paths = Paths::of(source, target)?;
    let wheels = dist.with_extension("wheels").join(name);
    if wheels.exists() {
        fs_err::remove_dir_all(&wheels)?;
    }
    let sbom = dist.with_extension("sbom").join(SBOM);
    fs_err::create_dir_all(dist.with_extension("sbom"))?;
    fs_err::write(&sbom, sbom::document()?)?;
    // maturin asks auditwheel's questions: it fails where a symbol is newer than glibc 2.17.
    let mut maturin = tools.program("maturin");
    maturin
        .args(["build", "--release", "--locked", "--zig"])
        .args(["--compatibility", "manylinux2014", "--target", name])
        .arg("--sbom-include")
        .arg(&sbom)
        .arg("--out")
        .arg(&wheels)
        .current_dir(source)
        .env("SOURCE_DATE_EPOCH", &release.time)
        .env("OHOCI_COMMIT", &release.commit);
    paths.rename(&mut maturin);
    command::run(&mut maturin)?;
    let binary = target.join(name).join("release/ohoci");
    paths.check(&binary)?;
    let mut found = fs_err::read_dir(&wheels)?;
    let wheel = found.next().context("maturin made no wheel")??.path();
    let size = fs_err::metadata(&wheel)?.len();
    ensure!(
        size <= LIMIT,
        "{} has {size} bytes, and may have {LIMIT}",
        wheel.display()
    );
    let to = dist.join(wheel.file_name().context("a wheel without a name")?);
    fs_err::copy(&wheel, &to)?;
    Ok((to, binary))
}
