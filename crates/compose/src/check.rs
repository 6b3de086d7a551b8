//! Looks over a base, or a composed image, for what tools below a prefix need.

mod contract;

use serde::Serialize;
use serde_json::{Map, Value};

use super::fit::{Detail, Listing, listing_of};
use super::read::Found;
use ohoci_image::{Platform, label};
use ohoci_store::Error;
use ohoci_store::cache::Cache;

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

impl BaseCheck {
    /// Whether tools work on it.
    #[must_use]
    pub fn works(&self) -> bool {
        self.points.iter().all(|point| point.state != State::Wrong)
    }
}

/// Looks over each image. `deps` are the names of deps images with what they are for.
///
/// # Errors
/// When a layer cannot be read.
pub async fn check(
    found: &Found,
    deps: &[(String, Vec<Platform>)],
    cache: &Cache,
) -> Result<Vec<BaseCheck>, Error> {
    let mut checks = Vec::new();
    for image in &found.images {
        let listing = listing_of(found.source.as_ref(), image, cache).await?;
        let composed = label::intent(image.config.document().object())
            .ok()
            .flatten()
            .is_some_and(|intent| !intent.deps.is_empty());
        let platform = image.config.platform();
        let mut points = points(platform, &listing, composed, deps);
        if composed {
            let config = image.config.document().object().get("config");
            let empty = Map::new();
            let config = config.and_then(Value::as_object).unwrap_or(&empty);
            points.extend(contract::points(&listing, config));
        }
        checks.push(BaseCheck {
            platform: platform.to_string(),
            points,
        });
    }
    Ok(checks)
}

fn points(
    platform: &Platform,
    listing: &Listing,
    composed: bool,
    deps: &[(String, Vec<Platform>)],
) -> Vec<Point> {
    let mut points = vec![architecture(platform, deps), prefix(listing, composed)];
    points.push(Point {
        name: "C library",
        state: State::Fine,
        what: c_library(listing),
    });
    for detail in Detail::ALL {
        let there = detail.places().iter().find(|place| listing.has(place));
        let (name, without) = words(detail);
        points.push(match there {
            Some(place) => Point {
                name,
                state: State::Fine,
                what: (*place).to_owned(),
            },
            None => Point {
                name,
                state: State::Lacking,
                what: without.to_owned(),
            },
        });
    }
    points
}

fn architecture(platform: &Platform, deps: &[(String, Vec<Platform>)]) -> Point {
    let fits = |has: &Platform| has.os == platform.os && has.architecture == platform.architecture;
    let name = "architecture";
    if let Some((reference, has)) = deps.iter().find(|(_, has)| !has.iter().any(fits)) {
        let has: Vec<String> = has.iter().map(ToString::to_string).collect();
        return Point {
            name,
            state: State::Wrong,
            what: format!("{reference} is for {}", has.join(", ")),
        };
    }
    let known =
        platform.os == "linux" && ["amd64", "arm64"].contains(&platform.architecture.as_str());
    Point {
        name,
        state: if known { State::Fine } else { State::Wrong },
        what: if known {
            platform.to_string()
        } else {
            format!("tools are made for linux/amd64 and linux/arm64, not for {platform}")
        },
    }
}

fn prefix(listing: &Listing, composed: bool) -> Point {
    let there = listing.has("/openhands");
    let (state, what) = match (there, composed) {
        (false, _) => (State::Fine, "/openhands is free"),
        (true, true) => (State::Fine, "/openhands is that of a deps image"),
        (true, false) => (
            State::Wrong,
            "/openhands is there already, and not from a deps image: files would mix",
        ),
    };
    Point {
        name: "prefix",
        state,
        what: what.to_owned(),
    }
}

/// Nothing below the prefix uses the base's; it is told for whoever installs more into the image.
fn c_library(listing: &Listing) -> String {
    let directories = [
        "/lib",
        "/lib64",
        "/lib/x86_64-linux-gnu",
        "/lib/aarch64-linux-gnu",
        "/usr/lib",
        "/usr/lib64",
    ];
    let names: Vec<&str> = directories
        .iter()
        .flat_map(|directory| listing.names_in(directory))
        .collect();
    let has = |start: &str| names.iter().any(|name| name.starts_with(start));
    if has("ld-musl-") {
        "musl".to_owned()
    } else if has("ld-linux") || has("libc.so.6") {
        let version = names.iter().find_map(|name| {
            let version = name.strip_prefix("libc-")?.strip_suffix(".so")?;
            version.starts_with('2').then(|| version.to_owned())
        });
        version.map_or_else(|| "glibc".to_owned(), |version| format!("glibc {version}"))
    } else {
        "none: only static programs, and those of a deps image, run".to_owned()
    }
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
        Detail::Users => ("users", "no /etc/passwd: ssh looks users up"),
        Detail::Tmp => ("/tmp", "no /tmp: tmux and many others write there"),
        Detail::Certificates => (
            "certificates",
            "no CA certificates: the base's own programs trust no server",
        ),
    }
}
