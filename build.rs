//! Tells the compiler which commit it builds and for which machines, for `ohoci --version`, and which recipes
//! the program brings, for `ohoci deps recipes`.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Directories of the recipes and of what they name.
const RECIPES: [&str; 2] = ["layers", "wrappers"];

/// The level of zstd that they are compressed with.
const COMPRESSION: i32 = 19;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=OHOCI_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let target = env::var("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=OHOCI_BUILT_FOR={target}");
    println!("cargo::rustc-env=OHOCI_BUILT_FROM={}", commit());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (list, contents) = recipes(Path::new(&env::var("CARGO_MANIFEST_DIR")?))?;
    fs_err::write(out.join("recipes.rs"), list)?;
    // Locks have much in common, which a wheel's own compression does not see.
    let contents = zstd::encode_all(contents.as_slice(), COMPRESSION)?;
    fs_err::write(out.join("recipes.zst"), contents)?;
    Ok(())
}

/// The source of a list of the recipes' files, and what is in them, one after the other.
fn recipes(root: &Path) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    let mut files = Vec::new();
    for directory in RECIPES {
        println!("cargo::rerun-if-changed={directory}");
        find(&root.join(directory), &mut files)?;
    }
    files.sort();
    let mut source = "static EMBEDDED: &[Embedded] = &[\n".to_owned();
    let mut contents = Vec::new();
    for file in files {
        let path = file.strip_prefix(root)?.to_str();
        let path = path.ok_or("the name of a recipe's file is no text")?;
        let executable = fs_err::metadata(&file)?.permissions().mode() & 0o100 != 0;
        let content = fs_err::read(&file)?;
        let size = content.len();
        writeln!(
            source,
            "Embedded {{ path: {path:?}, executable: {executable}, size: {size} }},"
        )?;
        contents.extend(content);
    }
    source.push_str("];\n");
    Ok((source, contents))
}

/// The files below a directory.
fn find(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
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
