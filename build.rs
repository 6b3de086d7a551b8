//! Tells the compiler which commit it builds and for which machines, for `ohoci --version`.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=OHOCI_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=OHOCI_BUILT_FOR={target}");
    println!("cargo::rustc-env=OHOCI_BUILT_FROM={}", commit());
}

/// The commit that whoever builds names, or the one that is checked out. Builds for development name none:
/// every commit would have them compiled again.
fn commit() -> String {
    let named = env::var("OHOCI_COMMIT").ok().filter(|name| is_hash(name));
    if let Some(commit) = named {
        return format!("commit {commit}");
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
        return "development build".to_owned();
    }
    // A copy of the sources within some other repository is no checkout of that.
    let known = git(&["ls-files", "--error-unmatch", "build.rs"]).is_some();
    match git(&["rev-parse", "HEAD"]) {
        Some(commit) if known && is_hash(&commit) => {
            if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"])
                && Path::new(&head).exists()
            {
                println!("cargo::rerun-if-changed={head}");
            }
            format!("commit {commit}")
        }
        _ => "no commit known".to_owned(),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn git(arguments: &[&str]) -> Option<String> {
    let directory = env::var_os("CARGO_MANIFEST_DIR")?;
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
