//! What a wheel runs on, and what a platform can run (PEP 425, PEP 600, PEP 656).

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use ohoci_image::Platform;

/// A tag: interpreter, ABI and platform, such as `cp313-cp313-manylinux_2_28_x86_64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    python: String,
    abi: String,
    platform: String,
}

impl Tag {
    /// A tag of these parts.
    #[must_use]
    pub fn new(python: &str, abi: &str, platform: &str) -> Self {
        Self {
            python: python.to_ascii_lowercase(),
            abi: abi.to_ascii_lowercase(),
            platform: platform.to_ascii_lowercase(),
        }
    }

    /// All tags that a compressed set such as `py2.py3-none-any` stands for; `None` when a part
    /// is empty or has other characters than letters, digits and `_`.
    #[must_use]
    pub fn expand(python: &str, abi: &str, platform: &str) -> Option<BTreeSet<Self>> {
        /// More would be no name of a file.
        const MAX_PARTS: usize = 64;
        let parts = |text: &str| {
            let parts: Vec<String> = text.split('.').map(str::to_ascii_lowercase).collect();
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let legal = |part: &String| !part.is_empty() && part.bytes().all(legal);
            (parts.len() <= MAX_PARTS && parts.iter().all(legal)).then_some(parts)
        };
        let (pythons, abis, platforms) = (parts(python)?, parts(abi)?, parts(platform)?);
        let mut tags = BTreeSet::new();
        for python in &pythons {
            for abi in &abis {
                for platform in &platforms {
                    tags.insert(Self::new(python, abi, platform));
                }
            }
        }
        Some(tags)
    }

    /// Reads one tag, or a compressed set of them.
    #[cfg(test)]
    pub(crate) fn parse_set(text: &str) -> Option<BTreeSet<Self>> {
        let mut parts = text.split('-');
        let tags = Self::expand(parts.next()?, parts.next()?, parts.next()?);
        tags.filter(|_| parts.next().is_none())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.python, self.abi, self.platform)
    }
}

/// A C library, with the version that wheels may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Libc {
    /// The GNU C library 2 of this minor version.
    Glibc(u32),
    /// musl 1 of this minor version.
    Musl(u32),
}

/// What wheels are chosen for: CPython 3 on Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The minor version of Python 3.
    pub python: u32,
    /// The architecture as Linux spells it: `x86_64`.
    pub architecture: &'static str,
    /// The C library.
    pub libc: Libc,
}

impl Target {
    /// The target of a platform; `None` for one that no wheels are built for.
    #[must_use]
    pub fn new(python: u32, platform: &Platform, libc: Libc) -> Option<Self> {
        let variant = platform.variant.as_deref();
        let architecture = match (platform.architecture.as_str(), variant) {
            ("amd64", _) => "x86_64",
            ("arm64", _) => "aarch64",
            ("386", _) => "i686",
            ("arm", None | Some("v7" | "v8")) => "armv7l",
            ("ppc64le", _) => "ppc64le",
            ("riscv64", _) => "riscv64",
            ("s390x", _) => "s390x",
            _ => return None,
        };
        (platform.os == "linux").then_some(Self {
            python,
            architecture,
            libc,
        })
    }

    /// The platform tags, best first, in the order of pypa/packaging.
    fn platforms(&self) -> Vec<String> {
        let architecture = self.architecture;
        let mut platforms = Vec::new();
        match self.libc {
            Libc::Glibc(newest) => {
                // PEP 600: older ones are defined where there was a profile for them.
                let oldest = match architecture {
                    "x86_64" | "i686" => 5,
                    _ => 17,
                };
                for minor in (oldest..=newest).rev() {
                    platforms.push(format!("manylinux_2_{minor}_{architecture}"));
                    let legacy = match minor {
                        17 => "manylinux2014",
                        12 => "manylinux2010",
                        5 => "manylinux1",
                        _ => continue,
                    };
                    platforms.push(format!("{legacy}_{architecture}"));
                }
            }
            Libc::Musl(newest) => {
                let minors = (0..=newest).rev();
                platforms.extend(minors.map(|minor| format!("musllinux_1_{minor}_{architecture}")));
            }
        }
        platforms.push(format!("linux_{architecture}"));
        platforms
    }

    /// All tags that can be installed, best first, in the order of pypa/packaging.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let platforms = self.platforms();
        let mut tags = Vec::new();
        let mut on_platforms = |python: &str, abi: &str| {
            tags.extend(
                platforms
                    .iter()
                    .map(|platform| Tag::new(python, abi, platform)),
            );
        };
        let interpreter = format!("cp3{}", self.python);
        for abi in [interpreter.as_str(), "abi3", "none"] {
            on_platforms(&interpreter, abi);
        }
        // The stable ABI began with 3.2 (PEP 384).
        for minor in (2..self.python).rev() {
            on_platforms(&format!("cp3{minor}"), "abi3");
        }
        let mut generic = vec![format!("py3{}", self.python), "py3".to_owned()];
        generic.extend((0..self.python).rev().map(|minor| format!("py3{minor}")));
        for python in &generic {
            on_platforms(python, "none");
        }
        tags.push(Tag::new(&interpreter, "none", "any"));
        tags.extend(generic.iter().map(|python| Tag::new(python, "none", "any")));
        tags
    }

    /// What chooses among wheels for this target.
    #[must_use]
    pub fn chooser(&self) -> Chooser {
        let ranks = self.tags().into_iter().zip(0..);
        Chooser {
            ranks: ranks.collect(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, minor) = match self.libc {
            Libc::Glibc(minor) => ("glibc 2", minor),
            Libc::Musl(minor) => ("musl 1", minor),
        };
        let Self {
            python,
            architecture,
            ..
        } = self;
        write!(f, "Python 3.{python} on {architecture} with {name}.{minor}")
    }
}

/// Ranks tags for one target.
#[derive(Clone, Debug)]
pub struct Chooser {
    ranks: HashMap<Tag, usize>,
}

impl Chooser {
    /// How well the best of `tags` fits: 0 is best, `None` is not at all.
    #[must_use]
    pub fn rank(&self, tags: &BTreeSet<Tag>) -> Option<usize> {
        tags.iter()
            .filter_map(|tag| self.ranks.get(tag).copied())
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(python: u32, architecture: &str, libc: Libc) -> Target {
        Target::new(python, &Platform::new("linux", architecture), libc).unwrap()
    }

    fn fits(target: &Target, tags: &str) -> Option<usize> {
        target.chooser().rank(&Tag::parse_set(tags).unwrap())
    }

    #[test]
    fn compressed_sets_are_expanded() {
        // The example of PEP 425, "Compressed Tag Sets".
        let tags = Tag::parse_set("cp33.cp32-cp32m.abi3-linux_x86_64").unwrap();
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        assert_eq!(
            tags,
            [
                "cp32-abi3-linux_x86_64",
                "cp32-cp32m-linux_x86_64",
                "cp33-abi3-linux_x86_64",
                "cp33-cp32m-linux_x86_64"
            ]
        );
        for bad in [
            "py3",
            "py3-none",
            "py3-none-any-x",
            "py3..py2-none-any",
            "py3-none-a/b",
        ] {
            assert_eq!(Tag::parse_set(bad), None, "{bad}");
        }
    }

    #[test]
    fn tags_come_in_the_order_of_packaging() {
        // What `packaging.tags` (as in pip 24.2) gives for CPython 3.13 with glibc 2.18 on
        // aarch64, `cpython_tags` and then `compatible_tags`: 132 tags.
        let tags = target(13, "arm64", Libc::Glibc(18)).tags();
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        assert_eq!(tags.len(), 132);
        assert_eq!(
            tags[..10],
            [
                "cp313-cp313-manylinux_2_18_aarch64",
                "cp313-cp313-manylinux_2_17_aarch64",
                "cp313-cp313-manylinux2014_aarch64",
                "cp313-cp313-linux_aarch64",
                "cp313-abi3-manylinux_2_18_aarch64",
                "cp313-abi3-manylinux_2_17_aarch64",
                "cp313-abi3-manylinux2014_aarch64",
                "cp313-abi3-linux_aarch64",
                "cp313-none-manylinux_2_18_aarch64",
                "cp313-none-manylinux_2_17_aarch64",
            ]
        );
        assert_eq!(tags[12], "cp312-abi3-manylinux_2_18_aarch64");
        assert_eq!(tags[12 + 11 * 4], "py313-none-manylinux_2_18_aarch64");
        assert_eq!(tags[12 + 11 * 4 + 4], "py3-none-manylinux_2_18_aarch64");
        let last = tags.len() - 16;
        assert_eq!(
            tags[last..last + 4],
            [
                "cp313-none-any",
                "py313-none-any",
                "py3-none-any",
                "py312-none-any"
            ]
        );
        assert_eq!(tags.last().unwrap(), "py30-none-any");
    }

    #[test]
    fn legacy_names_stand_behind_what_they_stand_for() {
        // PEP 600, "Legacy manylinux tags".
        let platforms = target(13, "amd64", Libc::Glibc(17)).platforms();
        let place = |name: &str| {
            platforms
                .iter()
                .position(|platform| platform == name)
                .unwrap()
        };
        for (legacy, modern) in [
            ("manylinux2014_x86_64", "manylinux_2_17_x86_64"),
            ("manylinux2010_x86_64", "manylinux_2_12_x86_64"),
            ("manylinux1_x86_64", "manylinux_2_5_x86_64"),
        ] {
            assert_eq!(place(legacy), place(modern) + 1);
        }
        assert_eq!(platforms.last().unwrap(), "linux_x86_64");
    }

    #[test]
    fn a_platform_runs_what_was_built_for_it_or_for_older_ones() {
        let amd64 = target(13, "amd64", Libc::Glibc(28));
        for good in [
            "cp313-cp313-manylinux_2_28_x86_64",
            "cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64",
            "cp39-abi3-manylinux_2_5_x86_64",
            "py2.py3-none-any",
            "py3-none-manylinux1_x86_64",
            "cp313-none-any",
        ] {
            assert!(fits(&amd64, good).is_some(), "{good}");
        }
        for bad in [
            "cp313-cp313-manylinux_2_29_x86_64",
            "cp313-cp313-manylinux_2_28_aarch64",
            "cp312-cp312-manylinux_2_28_x86_64",
            "cp314-abi3-manylinux_2_28_x86_64",
            "cp313-cp313t-manylinux_2_28_x86_64",
            "cp313-cp313-musllinux_1_2_x86_64",
            "cp313-cp313-win_amd64",
            "cp313-cp313-macosx_11_0_arm64",
            "py2-none-any",
            "py314-none-any",
        ] {
            assert_eq!(fits(&amd64, bad), None, "{bad}");
        }
        let musl = target(13, "amd64", Libc::Musl(2));
        assert!(fits(&musl, "cp313-cp313-musllinux_1_1_x86_64").is_some());
        assert_eq!(fits(&musl, "cp313-cp313-musllinux_1_3_x86_64"), None);
        assert_eq!(fits(&musl, "cp313-cp313-manylinux_2_17_x86_64"), None);
    }

    #[test]
    fn the_most_special_wheel_is_best() {
        let target = target(13, "amd64", Libc::Glibc(41));
        let ranks = [
            "cp313-cp313-manylinux_2_28_x86_64",
            "cp313-cp313-manylinux_2_17_x86_64",
            "cp313-abi3-manylinux_2_28_x86_64",
            "cp39-abi3-manylinux_2_28_x86_64",
            "py3-none-manylinux_2_28_x86_64",
            "py3-none-any",
        ]
        .map(|tag| fits(&target, tag).unwrap());
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    #[test]
    fn platforms_without_wheels_have_no_target() {
        let libc = Libc::Glibc(28);
        assert!(Target::new(13, &Platform::new("linux", "mips"), libc).is_none());
        assert!(Target::new(13, &Platform::new("windows", "amd64"), libc).is_none());
    }
}
