//! A way of naming images, with everything that the names depend on but the base.

use super::error::TagError;
use super::{bench, content, v0, v1};

/// A way of naming images that were made from different bases in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Runtime images of OpenHands up to 0.62.
    V0(v0::Inputs),
    /// Agent-server images of the software-agent-sdk.
    V1(v1::Inputs),
    /// Evaluation images of the benchmarks.
    Bench(bench::Inputs),
    /// By the digests of everything that goes in.
    Content(Box<content::Inputs>),
}

impl Scheme {
    /// The tags of the image that is made from `base`, each once, the most telling one first.
    ///
    /// `base` is the reference as a person types it: upstream makes different tags for `ubuntu`
    /// and `ubuntu:latest`. [`Scheme::Content`] takes a digest as well, and needs one. Every tag
    /// is legal, whatever the inputs.
    ///
    /// # Errors
    /// When an input is missing that the tags depend on.
    pub fn tags(&self, base: &str) -> Result<Vec<String>, TagError> {
        let mut tags = match self {
            Self::V0(inputs) => inputs.tags(base),
            Self::V1(inputs) => inputs.tags(base),
            Self::Bench(inputs) => inputs.tags(base),
            Self::Content(inputs) => inputs.tags(base),
        }?;
        let mut seen = std::collections::HashSet::new();
        tags.retain(|tag| seen.insert(tag.clone()));
        Ok(tags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_image::reference::is_tag;
    use proptest::prelude::*;

    fn v1(sha: &str) -> v1::Inputs {
        v1::Inputs {
            custom_tags: vec!["python".to_owned()],
            sha: sha.to_owned(),
            git_ref: v1::UNKNOWN.to_owned(),
            sdk_version: v1::UNKNOWN.to_owned(),
            arch: None,
            target: v1::DEFAULT_TARGET.to_owned(),
            flavor: v1::Flavor::Default,
            base_tag: false,
            versioned_tags: false,
        }
    }

    #[test]
    fn each_tag_comes_once() {
        // A commit of seven characters is its own short form.
        let tags = Scheme::V1(v1("abc1234")).tags("").unwrap();
        assert_eq!(tags, ["abc1234-python"]);
    }

    fn anything() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            "[a-z0-9./:@+_ -]{0,200}",
            "refs/(heads|tags)/.{0,20}",
            "v?[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
            Just(format!(
                "registry.example:5000/a/b:c@sha256:{}",
                "0".repeat(64)
            )),
        ]
    }

    prop_compose! {
        fn v0_inputs()(
            version in anything(),
            repository in anything(),
            pyproject in any::<Vec<u8>>(),
            source in any::<u128>(),
            browser in any::<bool>(),
        ) -> v0::Inputs {
            v0::Inputs {
                version,
                pyproject,
                poetry_lock: Vec::new(),
                source,
                browser,
                repository,
                image_tag: true,
            }
        }
    }

    prop_compose! {
        fn v1_inputs()(
            custom_tags in prop::collection::vec(anything(), 0..3),
            sha in anything(),
            git_ref in anything(),
            sdk_version in anything(),
            arch in prop::option::of(anything()),
            target in anything(),
            flavor in prop::sample::select(vec![
                v1::Flavor::Default,
                v1::Flavor::Slim,
                v1::Flavor::Minimal,
            ]),
            base_tag in any::<bool>(),
        ) -> v1::Inputs {
            v1::Inputs {
                custom_tags,
                sha,
                git_ref,
                sdk_version,
                arch,
                target,
                flavor,
                base_tag,
                versioned_tags: true,
            }
        }
    }

    prop_compose! {
        fn bench_inputs()(
            benchmark in prop::sample::select(vec![
                bench::Benchmark::SweBench,
                bench::Benchmark::SweBenchPro,
                bench::Benchmark::MultiSweBench,
                bench::Benchmark::Commit0,
            ]),
            phase in prop::sample::select(vec![
                bench::Phase::Builder,
                bench::Phase::Base,
                bench::Phase::Final,
            ]),
            sha in anything(),
            content_hash in prop::option::of(anything()),
            prefix in prop::option::of(anything()),
            custom_tag in prop::option::of(anything()),
            target in prop_oneof![anything(), Just("binary".to_owned())],
        ) -> bench::Inputs {
            bench::Inputs { benchmark, phase, sha, content_hash, prefix, custom_tag, target }
        }
    }

    fn scheme() -> impl Strategy<Value = Scheme> {
        prop_oneof![
            v0_inputs().prop_map(Scheme::V0),
            v1_inputs().prop_map(Scheme::V1),
            bench_inputs().prop_map(Scheme::Bench),
            Just(Scheme::Content(Box::default())),
        ]
    }

    proptest! {
        #[test]
        fn every_tag_is_legal_whatever_the_input(scheme in scheme(), base in anything()) {
            if let Ok(tags) = scheme.tags(&base) {
                prop_assert!(!tags.is_empty());
                for tag in tags {
                    prop_assert!(is_tag(&tag), "{tag:?}");
                }
            }
        }
    }
}
