//! `ohoci deps recipes`: the recipes that come with the program.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arguments::Format;
use crate::exit_code;
use crate::failure::Failure;
use crate::output;

/// A file of the recipes, as build.rs found it in `layers` or `wrappers`.
struct Embedded {
    /// Where it stands, from the directory of all of them.
    path: &'static str,
    /// Whether it is a program.
    executable: bool,
    /// How many bytes of all contents are its own.
    size: usize,
}

// `EMBEDDED`, in order of the paths, which is also that of the contents.
include!(concat!(env!("OUT_DIR"), "/recipes.rs"));

/// What is in all of them, one after the other, compressed by zstd.
static CONTENTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recipes.zst"));

/// A file with its content.
struct File {
    path: &'static str,
    executable: bool,
    content: Vec<u8>,
}

/// All of them.
fn embedded() -> Result<Vec<File>, Failure> {
    let damaged = |why: String| Failure::new("cannot read the recipes in the program", why);
    let mut contents = zstd::decode_all(CONTENTS).map_err(|error| damaged(error.to_string()))?;
    let mut files = Vec::new();
    for one in EMBEDDED {
        if contents.len() < one.size {
            return Err(damaged("it is damaged".to_owned()));
        }
        let rest = contents.split_off(one.size);
        files.push(File {
            path: one.path,
            executable: one.executable,
            content: std::mem::replace(&mut contents, rest),
        });
    }
    Ok(files)
}

/// List the recipes that come with ohoci, or write them into a directory
///
/// They are those of the version that is installed, with their locks and all files that they name. Written into
/// a directory, they are `layers` and `wrappers` there, ready for `ohoci deps build` and for changes of your own.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Write them into this directory, which is made where it is not there
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,

    /// Write over files that are there and have other content
    #[arg(long, requires = "directory")]
    pub force: bool,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// A recipe that an image is made of.
#[derive(Serialize)]
struct Listed {
    /// Its file.
    recipe: String,
    description: String,
    /// What it puts together; nothing where it is a single layer.
    features: Vec<String>,
}

/// What a recipe says of itself.
#[derive(Deserialize)]
struct Described {
    description: String,
    #[serde(default)]
    features: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let files = embedded()?;
    if let Some(directory) = &arguments.directory {
        write_all(&files, directory, arguments.force)?;
    }
    let below = arguments.directory.as_deref().unwrap_or(Path::new(""));
    let recipes = built(&files, below)?;
    match arguments.format {
        Format::Json => output::json(&json!({ "recipes": recipes }))?,
        Format::Text => {
            let lines = recipes
                .iter()
                .map(|recipe| format!("{}  {}", recipe.recipe, recipe.description));
            output::result(&lines.collect::<Vec<_>>().join("\n"))?;
        }
    }
    if arguments.directory.is_none() {
        output::note("`ohoci deps recipes DIRECTORY` writes them, with all that they name");
    }
    Ok(exit_code::DONE)
}

/// The recipes that are built as they are, which have a lock, as they stand below a directory.
fn built(files: &[File], below: &Path) -> Result<Vec<Listed>, Failure> {
    let mut found = Vec::new();
    for file in files {
        let Some(stem) = file.path.strip_suffix(".toml") else {
            continue;
        };
        let lock = format!("{stem}.lock");
        if files.iter().all(|other| other.path != lock) {
            continue;
        }
        let recipe: Described = toml::from_slice(&file.content).map_err(|error| {
            Failure::new(format!("cannot read {}", file.path), error.to_string())
        })?;
        found.push(Listed {
            recipe: below.join(file.path).display().to_string(),
            description: recipe.description,
            features: recipe.features,
        });
    }
    Ok(found)
}

/// Writes all files; none, if some would be written over and that was not asked for.
fn write_all(files: &[File], directory: &Path, force: bool) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let what = format!("cannot write the recipes into {}", directory.display());
        Failure::new(what, error.to_string())
    };
    let mut wanted = Vec::new();
    let mut differing = Vec::new();
    for file in files {
        let path = directory.join(file.path);
        match fs_err::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => wanted.push((file, path)),
            Err(error) => return Err(failed(error)),
            Ok(there)
                if there.is_file() && fs_err::read(&path).map_err(failed)? == file.content => {}
            Ok(_) => {
                differing.push(path.display().to_string());
                wanted.push((file, path));
            }
        }
    }
    if !force && !differing.is_empty() {
        let what = format!("cannot write the recipes into {}", directory.display());
        let why = format!("there are other files: {}", differing.join(", "));
        return Err(Failure::new(what, why).hinted("--force writes over them"));
    }
    let count = wanted.len();
    for (file, path) in wanted {
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent).map_err(failed)?;
        }
        replace(&path, file).map_err(failed)?;
    }
    let there = match files.len() - count {
        0 => String::new(),
        there => format!("; {there} were there already"),
    };
    output::note(&format!(
        "{count} files written below {}{there}",
        directory.display()
    ));
    Ok(())
}

/// Writes a file in the place of what is there, without following a link.
fn replace(path: &Path, file: &File) -> io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if file.executable { 0o755 } else { 0o644 };
    let mut new = fs_err::OpenOptions::new();
    new.write(true).create_new(true).mode(mode);
    new.open(path)?.write_all(&file.content)
}
