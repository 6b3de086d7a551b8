//! What of a feature decides what is locked.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use toml::Spanned;
use url::Url;

use crate::recipe::debian::{Choice, Component, Suite};
use crate::recipe::{Debian, Feature, PackageName};
use ohoci_image::Digest;

/// The parts that matter, in an order of their own: moving lines in a recipe, rewording a reason
/// or dropping other files leaves its lock valid.
#[derive(Serialize)]
struct Inputs<'a> {
    requires: BTreeSet<&'a str>,
    /// It takes the essential packages along.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rootfs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    debian: Option<DebianInputs<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<PythonInputs<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    archive: Vec<(&'a Url, &'a Digest)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    image: Vec<(&'a str, &'a str, &'a str)>,
    /// The target does not matter, the lockfile does.
    #[serde(skip_serializing_if = "Option::is_none")]
    npm: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conda: Option<CondaInputs<'a>>,
}

#[derive(Serialize)]
struct CondaInputs<'a> {
    specs: BTreeSet<&'a str>,
    channels: &'a [String],
}

#[derive(Serialize)]
struct PythonInputs<'a> {
    version: &'a str,
    requirements: BTreeSet<&'a str>,
    allow_sdist: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    skip_build_script: BTreeSet<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    exclude: BTreeSet<&'a str>,
}

#[derive(Serialize)]
struct DebianInputs<'a> {
    suites: Vec<&'a Suite>,
    components: BTreeSet<&'a Component>,
    packages: BTreeSet<&'a PackageName>,
    exclude: BTreeSet<&'a PackageName>,
    choose: BTreeMap<&'a Choice, &'a PackageName>,
}

impl<'a> DebianInputs<'a> {
    fn new(debian: &'a Debian) -> Self {
        Self {
            suites: debian.suites().collect(),
            components: debian.components.iter().collect(),
            packages: debian.packages.iter().map(Spanned::get_ref).collect(),
            exclude: debian.exclude.keys().map(Spanned::get_ref).collect(),
            choose: debian
                .choose
                .iter()
                .map(|(choice, package)| (choice.get_ref(), package.get_ref()))
                .collect(),
        }
    }
}

/// A digest over all in a feature that decides what is locked.
#[must_use]
pub fn inputs_of(feature: &Feature) -> Digest {
    let inputs = Inputs {
        requires: feature
            .requires
            .iter()
            .map(|name| name.get_ref().as_str())
            .collect(),
        rootfs: feature.rootfs.is_some(),
        debian: feature.debian().map(DebianInputs::new),
        python: feature.python.as_ref().map(|python| PythonInputs {
            version: &python.version,
            requirements: python.requirements.iter().map(String::as_str).collect(),
            allow_sdist: python.allow_sdist.iter().map(String::as_str).collect(),
            skip_build_script: python
                .skip_build_script
                .iter()
                .map(|name| name.get_ref().as_str())
                .collect(),
            exclude: python
                .exclude
                .keys()
                .map(|name| name.get_ref().as_str())
                .collect(),
        }),
        archive: feature
            .archive
            .iter()
            .filter_map(|archive| Some((archive.url.as_ref()?, &archive.digest)))
            .collect(),
        image: feature
            .image
            .iter()
            .map(|image| (&*image.reference, &*image.path, &*image.to))
            .collect(),
        npm: feature
            .npm
            .as_ref()
            .map(|npm| Digest::of(npm.content.as_bytes())),
        conda: feature.conda.as_ref().map(|conda| CondaInputs {
            specs: conda
                .specs
                .iter()
                .map(|spec| spec.get_ref().as_str())
                .collect(),
            channels: &conda.channels,
        }),
    };
    // Maps with string keys, lists and strings: nothing that JSON could not hold.
    Digest::of(&serde_json::to_vec(&inputs).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(text: &str) -> Digest {
        inputs_of(&toml::from_str(text).unwrap())
    }

    #[test]
    fn only_what_decides_counts() {
        let text = "name = \"f\"\n[debian]\nsuite = \"s\"\npackages = [\"bb\", \"aa\"]\n\
                    exclude = { xx = \"why\" }\n";
        let one = inputs(text);
        assert_eq!(
            one,
            inputs(
                "description = \"d\"\nname = \"f\"\n[debian]\npackages = [\"aa\", \"bb\"]\n\
                 suite = \"s\"\ncomponents = [\"main\"]\nexclude = { xx = \"other words\" }\n\
                 drop = [\"usr/share/man\"]\n"
            )
        );
        for (from, to) in [
            ("\"s\"", "\"t\""),
            ("\"bb\", ", ""),
            ("xx =", "yy ="),
            ("[debian]", "requires = [\"g\"]\n[debian]"),
            ("[debian]", "[rootfs]\n[debian]"),
        ] {
            assert_ne!(one, inputs(&text.replace(from, to)), "{from}");
        }
        assert_ne!(
            one,
            inputs(&format!("{text}choose = {{ awk = \"mawk\" }}\n"))
        );
    }
}
