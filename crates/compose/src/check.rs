//! Looks over a base, or a composed image, for what tools below a prefix need, and for what starts
//! in it.

pub mod start;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::deps::Deps;
use super::files::{Files, Lost};
use super::fit::{Detail, files_of};
use super::read::Found;
use crate::layer_reader::LayerReader;
use ohoci_image::{Content, Platform, label};
use ohoci_store::Error;
pub use start::{Programs, Start, User};

/// What was found of one platform's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaseCheck {
    /// The platform.
    pub platform: String,
    /// Point by point.
    pub points: Vec<Point>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// What it is called.
    pub name: &'static str,
    /// How it is.
    pub state: State,
    /// In words.
    pub what: String,
    /// What mends it, where something of ohoci does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Fine,
    /// Not there; some programs will miss it, and it can be added.
    Lacking,
    /// In the way.
    Wrong,
}

/// One platform's image, with all that was looked at.
#[derive(Clone, Debug)]
pub struct Looked {
    /// What was found.
    pub check: BaseCheck,
    /// The platform.
    pub platform: Platform,
    /// What the image shows.
    pub files: Files,
    /// The `config` object of its config.
    pub config: Map<String, Value>,
    /// Whether ohoci put a deps image on it.
    pub is_composed: bool,
    /// The deps images that are to be put on it: the reference, the config, and what each shows.
    pub deps: Vec<LookedDeps>,
}

/// A deps image, as one platform's image would get it.
#[derive(Clone, Debug)]
pub struct LookedDeps {
    /// The reference.
    pub reference: String,
    /// Its config.
    pub document: Map<String, Value>,
    /// What it shows.
    pub files: Files,
}

impl Point {
    /// A point that nothing is known to mend.
    pub fn new(name: &'static str, state: State, what: impl Into<String>) -> Self {
        Self {
            name,
            state,
            what: what.into(),
            mend: None,
        }
    }

    /// The same with what mends it.
    #[must_use]
    pub fn mended(mut self, by: impl Into<String>) -> Self {
        self.mend = Some(by.into());
        self
    }
}

impl BaseCheck {
    /// Whether tools work on it.
    #[must_use]
    pub fn works(&self) -> bool {
        self.points.iter().all(|point| point.state != State::Wrong)
    }
}

/// Looks over each image. `deps` are the references of deps images with what they hold.
///
/// # Errors
/// When a layer cannot be read.
pub async fn check(
    found: &Found,
    deps: &[(String, Arc<Deps>)],
    reader: LayerReader<'_>,
) -> Result<Vec<Looked>, Error> {
    let mut checks = Vec::new();
    for image in &found.images {
        let files = files_of(found.source.as_ref(), image, reader).await?;
        let document = image.config.document().object();
        checks.push(look(files, document, image.config.platform(), deps, reader).await?);
    }
    Ok(checks)
}

/// Looks over `scratch`, the base that has nothing.
///
/// # Errors
/// When a layer of a deps image cannot be read.
pub async fn check_scratch(
    platform: &Platform,
    deps: &[(String, Arc<Deps>)],
    reader: LayerReader<'_>,
) -> Result<Looked, Error> {
    look(Files::default(), &Map::new(), platform, deps, reader).await
}

async fn look(
    files: Files,
    document: &Map<String, Value>,
    platform: &Platform,
    deps: &[(String, Arc<Deps>)],
    reader: LayerReader<'_>,
) -> Result<Looked, Error> {
    let composed = label::intent(document)
        .ok()
        .flatten()
        .is_some_and(|intent| !intent.deps.is_empty());
    let config = document.get("config").and_then(Value::as_object);
    let config = config.cloned().unwrap_or_default();
    let (architecture, deps) = architecture(platform, deps, reader).await?;
    let mut points = vec![architecture];
    points.extend(of_base(&files, composed, &deps));
    points.extend(start::points(&files, document, &config, platform));
    Ok(Looked {
        check: BaseCheck {
            platform: platform.to_string(),
            points,
        },
        platform: platform.clone(),
        files,
        config,
        is_composed: composed,
        deps,
    })
}

fn of_base(files: &Files, composed: bool, deps: &[LookedDeps]) -> Vec<Point> {
    let mut points = vec![prefix(files, composed)];
    points.push(Point::new("C library", State::Fine, c_library(files)));
    for detail in Detail::ALL {
        // Whether the user that starts is known is a point of the start, and more certificates than
        // the base's are nothing that it lacks.
        if !matches!(detail, Detail::Account | Detail::Trust) {
            points.push(of_detail(files, detail, deps));
        }
    }
    points
}

fn of_detail(files: &Files, detail: Detail, deps: &[LookedDeps]) -> Point {
    let (name, without) = words(detail);
    let mut lost = None;
    for place in detail.places() {
        match files.follow(place) {
            Ok(_) => return Point::new(name, State::Fine, *place),
            Err(Lost::Missing(_)) => {}
            Err(why) => {
                lost.get_or_insert(why);
            }
        }
    }
    if let Some(lost) = lost {
        let point = Point::new(name, State::Wrong, format!("leads nowhere: {lost}"));
        return match detail {
            Detail::Tmp => point.mended("compose --fit auto"),
            _ => point,
        };
    }
    let point = Point::new(name, State::Lacking, without);
    match detail.target() {
        Some(target) if !deps.is_empty() && !deps.iter().any(|one| one.files.has(target)) => {
            let names: Vec<&str> = deps.iter().map(|one| one.reference.as_str()).collect();
            let what = format!(
                "{without}; --fit cannot add it, since {} has no {target}",
                names.join(", ")
            );
            Point::new(name, State::Lacking, what)
        }
        _ => point.mended("compose --fit auto"),
    }
}

/// Whether everything is for the same machine, and the deps images' parts that are.
async fn architecture(
    platform: &Platform,
    deps: &[(String, Arc<Deps>)],
    reader: LayerReader<'_>,
) -> Result<(Point, Vec<LookedDeps>), Error> {
    let name = "architecture";
    let fits = |has: &Platform| has.os == platform.os && has.architecture == platform.architecture;
    let mut looked = Vec::new();
    for (reference, one) in deps {
        let has = platforms(one).await?;
        if !has.iter().any(fits) {
            let has: Vec<String> = has.iter().map(ToString::to_string).collect();
            let what = format!("{reference} is for {}", has.join(", "));
            return Ok((Point::new(name, State::Wrong, what), looked));
        }
        let image = one.image_for(platform).await?;
        looked.push(LookedDeps {
            reference: reference.clone(),
            document: image.config.document().object().clone(),
            files: files_of(one.source.as_ref(), &image, reader).await?,
        });
    }
    let known =
        platform.os == "linux" && ["amd64", "arm64"].contains(&platform.architecture.as_str());
    let point = match known {
        true => Point::new(name, State::Fine, platform.to_string()),
        false => {
            let what =
                format!("tools are made for linux/amd64 and linux/arm64, not for {platform}");
            Point::new(name, State::Wrong, what)
        }
    };
    Ok((point, looked))
}

/// What a deps image is for.
async fn platforms(deps: &Deps) -> Result<Vec<Platform>, Error> {
    if let Content::Image { .. } = deps.root.content() {
        let image = deps.image_for(&super::read::this_machine()).await?;
        return Ok(vec![image.config.platform().clone()]);
    }
    let children = deps.entries.iter();
    Ok(children
        .filter_map(|child| child.descriptor.platform.clone())
        .collect())
}

fn prefix(files: &Files, composed: bool) -> Point {
    let there = !matches!(files.follow("/openhands"), Err(Lost::Missing(_)));
    let (state, what) = match (there, composed) {
        (false, _) => (State::Fine, "/openhands is free"),
        (true, true) => (State::Fine, "/openhands is that of a deps image"),
        (true, false) => (
            State::Wrong,
            "/openhands is there already, and not from a deps image: files would mix",
        ),
    };
    Point::new("prefix", state, what)
}

/// Nothing below the prefix uses the base's; it is told for whoever installs more into the image. Found
/// wherever it is: some systems keep it in a place of its own for each version.
fn c_library(files: &Files) -> String {
    let mut found: Vec<(u8, &str)> = files
        .paths()
        .filter(|path| !path.starts_with("openhands/"))
        .filter_map(|path| {
            let name = path.rsplit('/').next()?;
            let rank = if name.starts_with("ld-musl-") {
                0
            } else if name.starts_with("ld-linux") || name.starts_with("ld64.so") {
                1
            } else if name == "libc.so.6" {
                2
            } else {
                return None;
            };
            Some((rank, path))
        })
        .collect();
    // Of two the one that is not deep in a directory of some package's own.
    found.sort_by_key(|(rank, path)| (*rank, path.matches('/').count()));
    match found.first() {
        Some((0, path)) => format!("musl, /{path}"),
        Some((_, path)) => match glibc_version(files) {
            Some(version) => format!("glibc {version}, /{path}"),
            None => format!("glibc, /{path}"),
        },
        None => "none: only static programs, and those of a deps image, run".to_owned(),
    }
}

/// The version of the glibc, where a file's name or a directory says it: `libc-2.31.so`,
/// `/nix/store/…-glibc-2.40-66/lib`.
fn glibc_version(files: &Files) -> Option<String> {
    files.paths().find_map(|path| {
        let name = path.rsplit('/').next()?;
        let of_file = name
            .strip_prefix("libc-")
            .and_then(|rest| rest.strip_suffix(".so"));
        let of_directory = || {
            let above = path.strip_suffix("/lib/libc.so.6")?;
            let (_, version) = above.rsplit('/').next()?.split_once("glibc-")?;
            version.split('-').next()
        };
        let version = of_file.or_else(of_directory)?;
        version.starts_with('2').then(|| version.to_owned())
    })
}

/// What a detail is called, and what does not work without it.
fn words(detail: Detail) -> (&'static str, &'static str) {
    match detail {
        Detail::Sh => (
            "shell",
            "no /bin/sh: git's hooks and clones over ssh, and scripts, need it",
        ),
        Detail::Bash => ("bash", "no /bin/bash: scripts that name it do not run"),
        Detail::Env => ("env", "no /usr/bin/env: scripts that name it do not run"),
        Detail::Users | Detail::Account => ("users", "no /etc/passwd: ssh looks users up"),
        Detail::Tmp => ("/tmp", "no /tmp: tmux and many others write there"),
        Detail::Certificates | Detail::Trust => (
            "certificates",
            "no CA certificates: the base's own programs trust no server",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::files;

    #[test]
    fn a_c_library_is_found_where_it_is() {
        let nix = "nix/store/x-glibc-2.40-66/lib";
        for (paths, expected) in [
            (
                vec!["lib64/ld-linux-x86-64.so.2".to_owned()],
                "glibc, /lib64/ld-linux-x86-64.so.2",
            ),
            (
                vec![
                    "lib/ld-linux.so.2".to_owned(),
                    "lib/libc-2.31.so".to_owned(),
                ],
                "glibc 2.31, /lib/ld-linux.so.2",
            ),
            (
                vec![
                    format!("{nix}/ld-linux-x86-64.so.2"),
                    format!("{nix}/libc.so.6"),
                ],
                "glibc 2.40, /nix/store/x-glibc-2.40-66/lib/ld-linux-x86-64.so.2",
            ),
            (
                vec!["lib/ld-musl-x86_64.so.1".to_owned()],
                "musl, /lib/ld-musl-x86_64.so.1",
            ),
            (
                vec!["openhands/lib/ld-linux-x86-64.so.2".to_owned()],
                "none: ",
            ),
        ] {
            let entries: Vec<(&str, &str)> =
                paths.iter().map(|path| (path.as_str(), "x")).collect();
            let found = c_library(&files(&entries));
            assert!(found.starts_with(expected), "{found}");
        }
    }
}
