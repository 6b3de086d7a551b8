//! Platforms: `os/architecture[/variant]` (image-spec `image-index.md`, "platform").

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Operating system, as `GOOS` spells it.
    pub os: String,
    /// CPU architecture, as `GOARCH` spells it.
    pub architecture: String,
    /// CPU variant: `v7` of arm, `v3` of amd64.
    pub variant: Option<String>,
    /// Version of the operating system; Windows images carry it.
    pub os_version: Option<String>,
    /// Required features of the operating system.
    pub os_features: Vec<String>,
}

/// Why a string is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid platform {text:?}: expected os/architecture or os/architecture/variant")]
pub struct PlatformError {
    text: String,
}

impl Platform {
    /// A platform with neither variant nor version.
    #[must_use]
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            variant: None,
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// Reads the `platform` object of an index entry, or the same fields of an image config.
    ///
    /// `None` when `os` or `architecture` is missing or no string.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            os: text("os")?,
            architecture: text("architecture")?,
            variant: text("variant").filter(|variant| !variant.is_empty()),
            os_version: text("os.version").filter(|version| !version.is_empty()),
            os_features: value
                .get("os.features")
                .and_then(Value::as_array)
                .map(|list| {
                    list.iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
        })
    }

    /// The `platform` object of an index entry, in the order that image-spec lists its fields.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("architecture".to_owned(), self.architecture.clone().into());
        object.insert("os".to_owned(), self.os.clone().into());
        if let Some(version) = &self.os_version {
            object.insert("os.version".to_owned(), version.clone().into());
        }
        if !self.os_features.is_empty() {
            object.insert("os.features".to_owned(), self.os_features.clone().into());
        }
        if let Some(variant) = &self.variant {
            object.insert("variant".to_owned(), variant.clone().into());
        }
        object
    }

    /// The platform that `PLATFORM=REST` begins with, and the rest. Only systems that images are made for
    /// count, since what else begins so is a path.
    #[must_use]
    pub fn in_front_of(text: &str) -> Option<(Self, &str)> {
        let (platform, rest) = text.split_once('=')?;
        let (os, _) = platform.split_once('/')?;
        let is_known = ["linux", "windows", "freebsd"].contains(&os);
        Some((platform.parse().ok().filter(|_| is_known)?, rest))
    }

    /// Whether this stands for no platform at all: what build attestations carry in an index.
    #[must_use]
    pub(crate) fn is_unknown(&self) -> bool {
        self.os == "unknown" && self.architecture == "unknown"
    }

    /// The variant with the one that is meant by leaving it out filled in: `arm64` is `v8`, `arm`
    /// is `v7`, `amd64` is `v1` (containerd's `platforms.Normalize`).
    #[must_use]
    pub fn effective_variant(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            ("arm", None) => Some("v7"),
            ("amd64", None) => Some("v1"),
            (_, variant) => variant,
        }
    }

    /// Whether a person who asks for `self` means `candidate`.
    #[must_use]
    pub fn selects(&self, candidate: &Self) -> bool {
        self.os == candidate.os
            && self.architecture == candidate.architecture
            && self.effective_variant() == candidate.effective_variant()
            && self
                .os_version
                .as_ref()
                .is_none_or(|version| candidate.os_version.as_ref() == Some(version))
    }

    /// The platforms whose images run where those for this one do, the best first and itself at
    /// the head: older variants, and the 32-bit architecture that 64-bit machines run as well
    /// (containerd's `platforms.Only`).
    #[must_use]
    pub(crate) fn fallbacks(&self) -> Vec<Self> {
        let with = |architecture: &str, variant: Option<String>| Self {
            architecture: architecture.to_owned(),
            variant,
            ..self.clone()
        };
        let number = |variant: Option<&str>| variant?.strip_prefix('v')?.parse::<u32>().ok();
        let below = |architecture: &'static str, from: u32, to: u32| {
            (to..from)
                .rev()
                .map(move |number| with(architecture, Some(format!("v{number}"))))
        };
        let mut all = vec![self.clone()];
        match (self.architecture.as_str(), number(self.effective_variant())) {
            ("amd64", variant) => {
                // Only a handful of levels exist, whatever number a variant names.
                all.extend(below("amd64", variant.unwrap_or(1).min(16), 1));
                all.push(with("386", None));
            }
            ("arm64", variant) => {
                all.extend(below("arm64", variant.unwrap_or(8).min(16), 8));
                all.extend(below("arm", 9, 5));
            }
            ("arm", Some(variant)) => all.extend(below("arm", variant.min(16), 5)),
            _ => {}
        }
        all
    }

    /// Which of the candidates a person means who asks for this platform: one that is for it, else
    /// the best that runs there; of equals the first. Gives its position.
    #[must_use]
    pub fn choose<'a>(
        &self,
        candidates: impl IntoIterator<Item = &'a Self, IntoIter: Clone>,
    ) -> Option<usize> {
        let candidates = candidates.into_iter();
        self.fallbacks()
            .iter()
            .find_map(|wanted| candidates.clone().position(|there| wanted.selects(there)))
    }

    /// How well code built for `self` runs on `machine`: `None` when it does not, otherwise the
    /// higher the better. Numbered variants are upwards compatible (`arm/v6` code on `arm/v7`,
    /// `amd64` code on `amd64/v3`).
    #[must_use]
    pub(crate) fn fitness_on(&self, machine: &Self) -> Option<u32> {
        if self.os != machine.os || self.architecture != machine.architecture {
            return None;
        }
        let (ours, theirs) = (self.effective_variant(), machine.effective_variant());
        if ours == theirs {
            return Some(u32::MAX);
        }
        let number = |variant: Option<&str>| variant?.strip_prefix('v')?.parse::<u32>().ok();
        match (number(ours), number(theirs)) {
            (Some(ours), Some(theirs)) if ours < theirs => Some(ours),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if let Some(variant) = &self.variant {
            write!(f, "/{variant}")?;
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || PlatformError {
            text: text.chars().take(80).collect(),
        };
        let parts: Vec<&str> = text.split('/').collect();
        let legal = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        if !parts.iter().all(legal) {
            return Err(fail());
        }
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => return Err(fail()),
        };
        let mut implied = None;
        let mut platform = Self::new(
            &os.to_ascii_lowercase(),
            // What `uname -m` says is what people type.
            match architecture.to_ascii_lowercase().as_str() {
                "x86_64" | "x86-64" => "amd64",
                "aarch64" => "arm64",
                "i386" => "386",
                "armhf" | "armv7l" => "arm",
                "armel" | "armv6l" => {
                    implied = Some("v6".to_owned());
                    "arm"
                }
                other => other,
            },
        );
        // containerd's `platforms.Normalize` takes the number alone, too.
        let numbered = matches!(platform.architecture.as_str(), "arm" | "arm64");
        platform.variant = variant.or(implied).map(|variant| {
            if numbered && variant.bytes().all(|b| b.is_ascii_digit()) {
                format!("v{variant}")
            } else {
                variant
            }
        });
        Ok(platform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn parsing() {
        assert_eq!(p("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(p("linux/x86_64").to_string(), "linux/amd64");
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn selection() {
        assert!(p("linux/arm64").selects(&p("linux/arm64/v8")));
        assert!(p("linux/arm64/v8").selects(&p("linux/arm64")));
        assert!(!p("linux/arm/v6").selects(&p("linux/arm/v7")));
        assert!(!p("linux/amd64").selects(&p("windows/amd64")));
    }

    #[test]
    fn another_image_serves_where_there_is_none_for_the_platform_as_with_containerd() {
        let chosen = |wanted: &str, there: &[&str]| {
            let there: Vec<Platform> = there.iter().map(|text| p(text)).collect();
            p(wanted)
                .choose(there.iter())
                .map(|at| there[at].to_string())
        };
        for (wanted, there, want) in [
            (
                "linux/arm64",
                &["linux/arm/v7", "linux/arm64/v8"][..],
                Some("linux/arm64/v8"),
            ),
            (
                "linux/arm64",
                &["linux/arm/v6", "linux/arm/v7"],
                Some("linux/arm/v7"),
            ),
            (
                "linux/arm/v7",
                &["linux/arm/v5", "linux/arm/v6"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm", &["linux/arm/v5"], Some("linux/arm/v5")),
            ("linux/arm/v6", &["linux/arm/v7"], None),
            ("linux/arm/v7", &["linux/arm64"], None),
            (
                "linux/amd64/v3",
                &["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
                Some("linux/amd64/v2"),
            ),
            (
                "linux/amd64",
                &["linux/amd64/v2", "linux/386"],
                Some("linux/386"),
            ),
            ("linux/386", &["linux/amd64"], None),
            ("linux/amd64", &["windows/amd64"], None),
            (
                "linux/armel",
                &["linux/arm/v7", "linux/arm/v6"],
                Some("linux/arm/v6"),
            ),
            ("linux/arm/7", &["linux/arm/v7"], Some("linux/arm/v7")),
            ("linux/arm64/8", &["linux/arm64"], Some("linux/arm64")),
            (
                "linux/amd64/v4000000000",
                &["linux/amd64/v2"],
                Some("linux/amd64/v2"),
            ),
        ] {
            assert_eq!(
                chosen(wanted, there).as_deref(),
                want,
                "{wanted} of {there:?}"
            );
        }
    }

    #[test]
    fn compatibility() {
        assert_eq!(p("linux/amd64").fitness_on(&p("linux/amd64/v3")), Some(1));
        assert_eq!(p("linux/amd64/v3").fitness_on(&p("linux/amd64")), None);
        assert_eq!(p("linux/arm/v6").fitness_on(&p("linux/arm")), Some(6));
        assert_eq!(
            p("linux/arm").fitness_on(&p("linux/arm/v7")),
            Some(u32::MAX)
        );
        assert_eq!(p("linux/arm").fitness_on(&p("linux/arm64")), None);
    }
}
