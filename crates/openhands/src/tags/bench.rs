//! Tags of evaluation images, as the benchmarks make them.
//!
//! Source: the repository OpenHands/benchmarks, June 2026: `benchmarks/swebench/build_base_images.py`
//! for the three phases, `benchmarks/utils/version.py` for the prefix, `build_images.py` and
//! `run_infer.py` of each benchmark for its custom tags.

use super::error::TagError;
use super::hash::{sha1_prefix, sha256_prefix};
use super::legal::legal;
use super::v1::{DEFAULT_TARGET, dashed, short_sha, target_suffix};

/// Where finished images are kept, and looked for by evaluations.
pub const REPOSITORY: &str = "ghcr.io/openhands/eval-agent-server";

/// The target that most benchmarks run.
pub const USUAL_TARGET: &str = "source-minimal";

/// The longest custom tag of a SWE-bench Pro image.
const PRO_LENGTH: usize = 96;

/// A benchmark, which decides how an image is called after its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Benchmark {
    /// SWE-bench and SWT-bench: `…/sweb.eval.x86_64.{repo}_1776_{name}:latest`.
    SweBench,
    /// SWE-bench Pro: `docker.io/jefzda/sweap-images:{tag}`.
    SweBenchPro,
    /// SWE-bench Multimodal: `…/sweb.mm.eval.x86_64.…` or SWE-bench's own.
    SweBenchMultimodal,
    /// SWE-bench Multilingual.
    SweBenchMultilingual,
    /// Multi-SWE-bench: `{prefix}/{org}_m_{repo}:base`.
    MultiSweBench,
    /// SWE-Gym: `…/sweb.eval.x86_64.{org}_s_{name}`.
    SweGym,
    /// SWE-smith: `…/swesmith.x86_64.{repo}_1776_{name}`.
    SweSmith,
    /// Commit0: `docker.io/wentingzhao/{repo}:v0`.
    Commit0,
}

/// Which of the images that are built for one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The one in which the SDK is built, once for all instances.
    Builder,
    /// The instance's image with what the agent needs of the system.
    Base,
    /// The instance's image with the agent server.
    #[default]
    Final,
}

/// Everything that a benchmark's tags depend on, but the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// The benchmark.
    pub benchmark: Benchmark,
    /// The image.
    pub phase: Phase,
    /// The commit of the SDK.
    pub sha: String,
    /// [`content_hash`] of the SDK's Dockerfile; of `Dockerfile.agent-layer-commit0` for Commit0.
    pub content_hash: Option<String>,
    /// What finished images' tags begin with (`IMAGE_TAG_PREFIX`), in the place of commit and
    /// hash; for Commit0, of the commit only.
    pub prefix: Option<String>,
    /// The custom tag, in the place of the benchmark's own.
    pub custom_tag: Option<String>,
    /// The target at the end of finished images' tags.
    pub target: String,
}

impl Inputs {
    /// The image's tag. There are two for a finished image of the target `binary`: upstream builds
    /// the one with the target at its end and looks for the other.
    ///
    /// # Errors
    /// When the tag depends on the Dockerfile and its hash is missing, or the base has no name
    /// that the benchmark could use.
    pub fn tags(&self, base: &str) -> Result<Vec<String>, TagError> {
        let short = short_sha(&self.sha);
        match self.phase {
            Phase::Builder => Ok(vec![legal(short)]),
            Phase::Base => Ok(vec![legal(&format!(
                "{}-{}",
                self.content_hash()?,
                self.custom(base)?
            ))]),
            Phase::Final => {
                let mut stem = self.prefix.as_deref().unwrap_or(short).to_owned();
                let hashes = match self.benchmark {
                    Benchmark::Commit0 => matches!(&*self.target, "source" | "source-minimal"),
                    _ => self.is_phased() && self.prefix.is_none(),
                };
                if hashes {
                    stem = format!("{stem}-{}", self.content_hash()?);
                }
                let stem = format!("{stem}-{}", self.custom(base)?);
                let looked_for = legal(&format!("{stem}{}", target_suffix(&self.target)));
                if self.is_phased() && self.target == DEFAULT_TARGET {
                    return Ok(vec![legal(&format!("{stem}-{DEFAULT_TARGET}")), looked_for]);
                }
                Ok(vec![looked_for])
            }
        }
    }

    fn custom(&self, base: &str) -> Result<String, TagError> {
        match &self.custom_tag {
            Some(custom) => Ok(custom.clone()),
            None => custom_tag(self.benchmark, base),
        }
    }

    fn content_hash(&self) -> Result<&str, TagError> {
        self.content_hash.as_deref().ok_or(TagError::NoContentHash)
    }

    fn is_phased(&self) -> bool {
        matches!(
            self.benchmark,
            Benchmark::SweBench | Benchmark::SweBenchPro | Benchmark::SweBenchMultimodal
        )
    }
}

/// What stands for a Dockerfile in tags: seven digits of the SHA-256 of its text, whose line ends
/// count as line feeds whatever they are.
#[must_use]
pub fn content_hash(dockerfile: &str) -> String {
    sha256_prefix(&dockerfile.replace("\r\n", "\n").replace('\r', "\n"), 7)
}

/// What stands for the base in tags of a benchmark; it may be illegal as upstream's is.
///
/// A digest behind the base's name is left out, so that pinning a base does not rename the image
/// that evaluations look for. Upstream takes the digest for a tag there, or keeps an illegal `@`.
///
/// # Errors
/// When the base lacks the part that the benchmark names images by.
pub fn custom_tag(benchmark: Benchmark, base: &str) -> Result<String, TagError> {
    let pinned = base.split_once('@');
    let name = pinned.map_or(base, |(name, _)| name);
    let last = name.rsplit('/').next().unwrap_or(name);
    let instance = last.split(':').next().unwrap_or(last);
    let custom = match benchmark {
        Benchmark::SweBench
        | Benchmark::SweBenchMultimodal
        | Benchmark::SweBenchMultilingual
        | Benchmark::SweGym
        | Benchmark::SweSmith => instance.to_owned(),
        Benchmark::MultiSweBench if last.contains("sweb.eval") => instance.to_owned(),
        Benchmark::MultiSweBench => last.replace(':', "-"),
        Benchmark::Commit0 if instance.is_empty() => String::new(),
        Benchmark::Commit0 => format!("commit0-{}", instance.to_lowercase()),
        Benchmark::SweBenchPro => {
            // Without a tag, the digest is all that tells one instance from another.
            let named = if last.contains(':') { name } else { base };
            pro(named.rsplit(':').next().unwrap_or(named))
        }
    };
    if custom.is_empty() {
        return Err(if base.is_empty() {
            TagError::NoBase
        } else {
            TagError::NoInstance {
                base: base.chars().take(300).collect(),
            }
        });
    }
    Ok(custom)
}

fn pro(tag: &str) -> String {
    if tag.is_empty() {
        return String::new();
    }
    let text = dashed(&tag.to_lowercase(), |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-')
    });
    let text = text.trim_matches(['.', '-']);
    let hash = sha1_prefix(tag, 12);
    if text.is_empty() {
        return hash;
    }
    if text.len() <= PRO_LENGTH {
        return text.to_owned();
    }
    let front: String = text.chars().take(PRO_LENGTH - hash.len() - 1).collect();
    format!("{}-{hash}", front.trim_end_matches(['.', '-']))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a vector is asserted by a unit test of upstream, given by a comment in its code, or
    /// was computed by running its code.
    #[derive(Debug)]
    enum Upstream {
        Test,
        Comment,
        Code,
    }

    #[test]
    fn custom_tags_are_upstreams() {
        use Benchmark::{
            Commit0, MultiSweBench, SweBench, SweBenchMultimodal, SweBenchPro, SweGym, SweSmith,
        };
        let long = format!(
            "docker.io/jefzda/sweap-images:internetarchive.openlibrary-{}",
            "a".repeat(100)
        );
        let cut = format!(
            "internetarchive.openlibrary-{}-523ef3aa2b53",
            "a".repeat(55)
        );
        for (upstream, benchmark, base, expected) in [
            (
                Upstream::Comment,
                SweBench,
                "docker.io/swebench/sweb.eval.x86_64.django_1776_django-12155:latest",
                "sweb.eval.x86_64.django_1776_django-12155",
            ),
            (
                Upstream::Test,
                SweBenchMultimodal,
                "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest",
                "sweb.eval.x86_64.django_1776_django-11333",
            ),
            (
                Upstream::Test,
                SweBenchMultimodal,
                "docker.io/swebench/sweb.mm.eval.x86_64.openlayers_1776_openlayers-12172:latest",
                "sweb.mm.eval.x86_64.openlayers_1776_openlayers-12172",
            ),
            (
                Upstream::Test,
                SweBenchMultimodal,
                "docker.io/swebench/sweb.eval.x86_64.foo_1776_bar",
                "sweb.eval.x86_64.foo_1776_bar",
            ),
            (
                Upstream::Test,
                SweBenchPro,
                "docker.io/jefzda/sweap-images:nodebb.nodebb-instance_demo",
                "nodebb.nodebb-instance_demo",
            ),
            (
                Upstream::Code,
                SweBenchPro,
                "docker.io/jefzda/sweap-images:Foo+Bar",
                "foo-bar",
            ),
            (Upstream::Code, SweBenchPro, &long, &cut),
            (
                Upstream::Code,
                SweBenchPro,
                "docker.io/jefzda/sweap-images:qutebrowser.qutebrowser-qutebrowser__qutebrowser-5fdc83e5da6222fe61163395baaad7ae57fa2cb4-v363c8a7e5ccdf6968fc7ab84a2053ac780366",
                "qutebrowser.qutebrowser-qutebrowser__qutebrowser-5fdc83e5da6222fe61163395baaad7ae57-03572c6c2652",
            ),
            (
                Upstream::Code,
                SweBenchPro,
                "docker.io/jefzda/sweap-images:...",
                "6eae3a5b062c",
            ),
            (
                Upstream::Comment,
                MultiSweBench,
                "mswebench/repo:version",
                "repo-version",
            ),
            (
                Upstream::Comment,
                MultiSweBench,
                "docker.io/swebench/sweb.eval.x86_64.django_1776_django-12155:latest",
                "sweb.eval.x86_64.django_1776_django-12155",
            ),
            (
                Upstream::Comment,
                SweGym,
                "docker.io/xingyaoww/sweb.eval.x86_64.project-monai_s_monai-6446:latest",
                "sweb.eval.x86_64.project-monai_s_monai-6446",
            ),
            (
                Upstream::Comment,
                SweSmith,
                "docker.io/jyangballin/swesmith.x86_64.oauthlib_1776_oauthlib.1fd52536",
                "swesmith.x86_64.oauthlib_1776_oauthlib.1fd52536",
            ),
            (
                Upstream::Test,
                Commit0,
                "docker.io/wentingzhao/tinydb:v0",
                "commit0-tinydb",
            ),
        ] {
            assert_eq!(
                custom_tag(benchmark, base),
                Ok(expected.to_owned()),
                "{upstream:?}"
            );
        }
    }

    #[test]
    fn a_pinned_base_is_called_as_it_is_without_the_digest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (benchmark, base) in [
            (Benchmark::SweBench, "registry.example:5000/swebench/x"),
            (Benchmark::SweBench, "swebench/x:latest"),
            (Benchmark::SweBenchPro, "registry.example:5000/pro/images:x"),
            (Benchmark::MultiSweBench, "mswebench/org_m_repo:base"),
            (Benchmark::Commit0, "wentingzhao/tinydb:v0"),
        ] {
            assert_eq!(
                custom_tag(benchmark, &format!("{base}@{digest}")),
                custom_tag(benchmark, base)
            );
        }
        assert_eq!(
            custom_tag(Benchmark::SweBenchPro, &format!("pro/images@{digest}")),
            Ok("0".repeat(64))
        );
    }

    #[test]
    fn a_base_without_the_part_that_names_the_instance_is_refused() {
        assert_eq!(custom_tag(Benchmark::SweBench, ""), Err(TagError::NoBase));
        for (benchmark, base) in [
            (Benchmark::SweBench, "swebench/:latest"),
            (Benchmark::SweBenchPro, "jefzda/sweap-images:"),
            (Benchmark::Commit0, "wentingzhao/"),
        ] {
            assert!(
                matches!(
                    custom_tag(benchmark, base),
                    Err(TagError::NoInstance { .. })
                ),
                "{base}"
            );
        }
    }

    fn inputs(benchmark: Benchmark) -> Inputs {
        Inputs {
            benchmark,
            phase: Phase::Final,
            sha: "abcdef1234567890".to_owned(),
            content_hash: Some("999a9cc".to_owned()),
            prefix: None,
            custom_tag: None,
            target: USUAL_TARGET.to_owned(),
        }
    }

    /// The formats are those of upstream's code; `abc1234-custom-tag` is asserted by its
    /// `test_phased_build.py`.
    #[test]
    fn each_phase_has_its_format() {
        let base = "docker.io/swebench/sweb.eval.x86_64.django_1776_django-11333:latest";
        let name = "sweb.eval.x86_64.django_1776_django-11333";
        let finished = inputs(Benchmark::SweBench);
        assert_eq!(
            finished.tags(base).unwrap(),
            [format!("abcdef1-999a9cc-{name}-source-minimal")]
        );
        let binary = Inputs {
            target: "binary".to_owned(),
            ..finished.clone()
        };
        assert_eq!(
            binary.tags(base).unwrap(),
            [
                format!("abcdef1-999a9cc-{name}-binary"),
                format!("abcdef1-999a9cc-{name}")
            ]
        );
        let prefixed = Inputs {
            prefix: Some("nightly".to_owned()),
            content_hash: None,
            ..finished.clone()
        };
        assert_eq!(
            prefixed.tags(base).unwrap(),
            [format!("nightly-{name}-source-minimal")]
        );
        let prepared = Inputs {
            phase: Phase::Base,
            content_hash: Some("abc1234".to_owned()),
            custom_tag: Some("custom-tag".to_owned()),
            ..finished.clone()
        };
        assert_eq!(
            prepared.tags("ubuntu:22.04").unwrap(),
            ["abc1234-custom-tag"]
        );
        let builder = Inputs {
            phase: Phase::Builder,
            content_hash: None,
            ..finished.clone()
        };
        assert_eq!(builder.tags("").unwrap(), ["abcdef1"]);
        let without_hash = Inputs {
            content_hash: None,
            ..finished
        };
        assert_eq!(without_hash.tags(base), Err(TagError::NoContentHash));
    }

    #[test]
    fn benchmarks_that_build_in_one_go_have_no_hash_in_their_tags() {
        let legacy = Inputs {
            content_hash: None,
            ..inputs(Benchmark::MultiSweBench)
        };
        assert_eq!(
            legacy.tags("mswebench/org_m_repo:base").unwrap(),
            ["abcdef1-org_m_repo-base-source-minimal"]
        );
    }

    #[test]
    fn commit0_hashes_its_own_dockerfile_for_source_targets() {
        let source = inputs(Benchmark::Commit0);
        let base = "docker.io/wentingzhao/tinydb:v0";
        assert_eq!(
            source.tags(base).unwrap(),
            ["abcdef1-999a9cc-commit0-tinydb-source-minimal"]
        );
        let prefixed = Inputs {
            prefix: Some("nightly".to_owned()),
            ..source.clone()
        };
        assert_eq!(
            prefixed.tags(base).unwrap(),
            ["nightly-999a9cc-commit0-tinydb-source-minimal"]
        );
        let binary = Inputs {
            target: "binary".to_owned(),
            ..source
        };
        assert_eq!(binary.tags(base).unwrap(), ["abcdef1-commit0-tinydb"]);
    }

    #[test]
    fn line_ends_do_not_change_a_dockerfiles_hash() {
        // As `sha256sum` computes it of the first.
        for text in ["FROM scratch\nCOPY a b\n", "FROM scratch\r\nCOPY a b\r"] {
            assert_eq!(content_hash(text), "e63d3b6");
        }
    }
}
