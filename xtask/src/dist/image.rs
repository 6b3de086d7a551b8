//! The container image, from nothing: the program, the C library that it was linked with, and
//! certificates. ohoci puts it together itself.
//!
//! The library and the certificates are Debian's, as this machine's apt has them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Package, place};
use crate::command::{self, find};
use crate::release::contains;

/// Who runs in the image: the number that images without root use by convention.
const USER: &str = "65532:65532";

/// Where Debian's package has the certificates, each in a file.
const AUTHORITIES: &str = "usr/share/ca-certificates/mozilla";

/// Where programs look for all of them in one file.
const BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";

/// Files of the C library that the program needs, and those that looking up names needs.
const LIBRARIES: [&str; 7] = [
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
];

/// What a program that cargo linked by itself needs besides; one that zig linked has it within.
const UNWINDER: (&str, &str) = ("libgcc-s1", "libgcc_s.so.1");

/// Packs it as an OCI archive, and starts it; nothing where apt has no packages for the processor.
pub(super) fn pack(package: &Package<'_>) -> Result<Option<PathBuf>> {
    let architecture = package.architecture();
    if package.processor() != std::env::consts::ARCH || find("apt-get").is_none() {
        println!("note: no image for {architecture}: it takes a Debian machine of that kind");
        return Ok(None);
    }
    let debian = package.stage("debian")?;
    let libc = unpacked(&debian, "libc6")?;
    let certificates = unpacked(&debian, "ca-certificates")?;

    let root = package.stage("image")?;
    place(package.binary, &root.join("usr/bin/ohoci"))?;
    let (loader, multiarch) = match package.processor() {
        "aarch64" => ("lib/ld-linux-aarch64.so.1", "lib/aarch64-linux-gnu"),
        _ => ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu"),
    };
    for library in LIBRARIES {
        let file = Path::new(multiarch).join(library);
        place(&libc.join(&file), &root.join(&file))?;
    }
    place(&libc.join(loader), &root.join(loader))?;
    let mut packages = vec![(libc, "libc6"), (certificates.clone(), "ca-certificates")];
    let (unwinder, library) = UNWINDER;
    if contains(&fs_err::read(package.binary)?, library.as_bytes()) {
        let unpacked = unpacked(&debian, unwinder)?;
        let file = Path::new(multiarch).join(library);
        place(&unpacked.join(&file), &root.join(&file))?;
        packages.push((unpacked, unwinder));
    }
    for (from, name) in packages {
        let to = root.join(format!("usr/share/doc/{name}/copyright"));
        place(&copyright(&debian, &from, name)?, &to)?;
    }
    place(
        &package.source.join("LICENSE"),
        &root.join("usr/share/doc/ohoci/copyright"),
    )?;
    fs_err::create_dir_all(root.join("etc/ssl/certs"))?;
    fs_err::write(root.join(BUNDLE), bundle(&certificates.join(AUTHORITIES))?)?;
    fs_err::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
    )?;
    fs_err::write(root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")?;
    fs_err::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
    command::run(Command::new("chmod").args(["-R", "u=rwX,go=rX"]).arg(&root))?;
    fs_err::create_dir_all(root.join("tmp"))?;
    command::run(Command::new("chmod").arg("1777").arg(root.join("tmp")))?;

    let version = &package.release.version;
    let file = package
        .dist
        .join(format!("ohoci-{version}-{architecture}.oci.tar"));
    let mut compose = Command::new(package.program);
    compose
        .args(["compose", "--base", "scratch", "--no-cache"])
        .args(["--platform", &format!("linux/{architecture}")])
        .arg("--layer")
        .arg(&root)
        .args(["--entrypoint", r#"["/usr/bin/ohoci"]"#])
        .args(["--user", USER, "--workdir", "/tmp"])
        .args(["--env", "PATH=/usr/bin", "--env", "HOME=/tmp"])
        // Where the root cannot be written, this is what runtimes still give.
        .args(["--env", "TMPDIR=/dev/shm"])
        .args(["--env", &format!("SSL_CERT_FILE=/{BUNDLE}")])
        .args([
            "--label",
            &format!("org.opencontainers.image.version={version}"),
        ])
        .args([
            "--label",
            &format!(
                "org.opencontainers.image.revision={}",
                package.release.commit
            ),
        ])
        .args(["--label", "org.opencontainers.image.title=ohoci"])
        .args(["--label", "org.opencontainers.image.licenses=Apache-2.0"])
        .arg("--push")
        .arg(format!("oci-archive:{}:{version}", file.display()));
    command::run(&mut compose)?;
    start(package, &file)?;
    Ok(Some(file))
}

/// Has the image say its version, so that none is given away that does not start.
fn start(package: &Package<'_>, file: &Path) -> Result<()> {
    if find("bwrap").is_none() {
        println!("note: the image was not started, for which bubblewrap has to be installed");
        return Ok(());
    }
    let image = format!("oci-archive:{}", file.display());
    let mut run = Command::new(package.program);
    command::run(run.args(["--no-cache", "run", "--read-only", &image, "--version"]))
}

/// The file that says who may do what with a package. Where many are built from one source, it is a package of
/// its own that has it, to which a link leads.
fn copyright(debian: &Path, unpacked: &Path, name: &str) -> Result<PathBuf> {
    let directory = unpacked.join("usr/share/doc").join(name);
    let Ok(shared) = fs_err::read_link(&directory) else {
        return Ok(directory.join("copyright"));
    };
    let shared = shared
        .to_str()
        .context("a link to a name that is no text")?;
    let from = self::unpacked(debian, shared)?;
    Ok(from.join("usr/share/doc").join(shared).join("copyright"))
}

/// Downloads a package, verified by apt, and unpacks it without running anything of it.
fn unpacked(debian: &Path, name: &str) -> Result<PathBuf> {
    let downloads = debian.join(format!("{name}.download"));
    fs_err::create_dir_all(&downloads)?;
    command::run(
        Command::new("apt-get")
            .args(["--quiet", "download", name])
            .current_dir(&downloads),
    )?;
    let mut found = fs_err::read_dir(&downloads)?;
    let file = found
        .next()
        .with_context(|| format!("apt-get downloaded no {name}"))??
        .path();
    let to = debian.join(name);
    command::run(Command::new("dpkg-deb").arg("-x").arg(&file).arg(&to))?;
    Ok(to)
}

/// All certificates in one file, in the order of their names.
fn bundle(directory: &Path) -> Result<String> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        files.push(entry?.path());
    }
    files.sort();
    let mut bundle = String::new();
    for file in files {
        let text = fs_err::read_to_string(&file)?;
        bundle.push_str(text.trim_end());
        bundle.push('\n');
    }
    Ok(bundle)
}
