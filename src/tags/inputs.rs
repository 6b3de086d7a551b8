//! Turns flags and environment variables into a scheme.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::source;
use crate::choices;
use crate::failure::Failure;
use ohoci_config::environment::{
    Environment, GITHUB_REF, GITHUB_SHA, IMAGE_TAG_PREFIX, OH_RUNTIME_RUNTIME_IMAGE_REPO, SDK_REF,
    SDK_SHA, Variable,
};
use ohoci_image::Digest;
use ohoci_image::config_patch::ConfigPatch;
use ohoci_image::label::Position;
use ohoci_openhands::tags::bench::{Benchmark, Phase};
use ohoci_openhands::tags::{Scheme, bench, content, v0, v1};

/// How much an agent-server image holds, as upstream's build script has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FlavorName {
    /// Everything
    Default,
    /// Less of it
    Slim,
    /// The server alone
    Minimal,
}

impl From<FlavorName> for v1::Flavor {
    fn from(name: FlavorName) -> Self {
        match name {
            FlavorName::Default => Self::Default,
            FlavorName::Slim => Self::Slim,
            FlavorName::Minimal => Self::Minimal,
        }
    }
}

/// Who names the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SchemeName {
    /// Runtime images of OpenHands up to 0.62: source tag, lock tag, versioned tag
    V0,
    /// Agent-server images of the software-agent-sdk
    V1,
    /// Evaluation images of the benchmarks
    Bench,
    /// By the digests of everything that goes in: never stale
    Content,
}

/// What the tags of each scheme depend on.
#[derive(Args, Clone, Debug)]
pub struct SchemeArguments {
    /// Who names the images
    #[arg(long, value_enum, value_name = "SCHEME")]
    pub scheme: SchemeName,

    /// The version of OpenHands [default: the one in pyproject.toml]
    #[arg(
        long = "version",
        id = "openhands_version",
        value_name = "VERSION",
        help_heading = "Scheme v0"
    )]
    pub version: Option<String>,

    /// A checkout of OpenHands: the package `openhands`, pyproject.toml and poetry.lock
    #[arg(long, value_name = "DIR", help_heading = "Scheme v0")]
    pub source: Option<PathBuf>,

    /// For a runtime without a browser
    #[arg(long, help_heading = "Scheme v0")]
    pub no_browser: bool,

    /// Print the tag that only names the base too, as the project's CI sets it
    #[arg(long, help_heading = "Scheme v0")]
    pub image_tag: bool,

    /// The commit of the SDK [default: $SDK_SHA, for v1 also $GITHUB_SHA]
    #[arg(
        long,
        visible_alias = "sdk-sha",
        value_name = "SHA",
        help_heading = "Schemes v1 and bench"
    )]
    pub sha: Option<String>,

    /// A variant such as `python`; repeatable in scheme v1. In scheme bench, what to call the
    /// image in the place of what the base's name says
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAME",
        help_heading = "Schemes v1 and bench"
    )]
    pub custom_tag: Vec<String>,

    /// What is built of the SDK [default: binary in scheme v1, source-minimal in scheme bench]
    #[arg(
        long,
        value_name = "TARGET",
        value_parser = PossibleValuesParser::new(v1::TARGETS),
        hide_possible_values = true,
        help_heading = "Schemes v1 and bench"
    )]
    pub target: Option<String>,

    /// The ref of the SDK: a branch, or refs/tags/… [default: $SDK_REF or $GITHUB_REF]
    #[arg(
        long = "ref",
        id = "git_ref",
        value_name = "REF",
        help_heading = "Scheme v1"
    )]
    pub git_ref: Option<String>,

    /// The version of the SDK, for --versioned-tag
    #[arg(long, value_name = "VERSION", help_heading = "Scheme v1")]
    pub sdk_version: Option<String>,

    /// The architecture of an image for one platform, such as `amd64`
    #[arg(long, value_name = "ARCH", help_heading = "Scheme v1")]
    pub arch: Option<String>,

    /// How much the image holds [default: default]
    #[arg(long, value_enum, value_name = "FLAVOR", help_heading = "Scheme v1")]
    pub image_flavor: Option<FlavorName>,

    /// Leave out the tag that names the base
    #[arg(long, help_heading = "Scheme v1")]
    pub no_base_tag: bool,

    /// Print the tags of a release too: `1`, `1.2` and `1.2.3` of 1.2.3
    #[arg(long, help_heading = "Scheme v1")]
    pub versioned_tag: bool,

    /// The benchmark, which decides how images are called [default: swe-bench]
    #[arg(
        long,
        value_enum,
        value_name = "BENCHMARK",
        help_heading = "Scheme bench"
    )]
    pub benchmark: Option<BenchmarkName>,

    /// Which of the images of an instance [default: final]
    #[arg(long, value_enum, value_name = "PHASE", help_heading = "Scheme bench")]
    pub phase: Option<PhaseName>,

    /// The Dockerfile of the SDK; Dockerfile.agent-layer-commit0 for commit0
    #[arg(long, value_name = "FILE", help_heading = "Scheme bench")]
    pub dockerfile: Option<PathBuf>,

    /// What tags of finished images begin with [default: $IMAGE_TAG_PREFIX, or commit and
    /// Dockerfile]
    #[arg(long, value_name = "TEXT", help_heading = "Scheme bench")]
    pub tag_prefix: Option<String>,

    /// The digest of the base; the same as --base NAME@DIGEST
    #[arg(long, value_name = "DIGEST", help_heading = "Scheme content")]
    pub base_digest: Option<String>,

    /// The digest of a deps image or a layer that is added; repeatable, in order
    #[arg(long, value_name = "DIGEST", help_heading = "Scheme content")]
    pub deps_digest: Vec<String>,

    /// What changes in the config, as in the label `ohoci.patch`
    #[arg(long, value_name = "JSON", help_heading = "Scheme content")]
    pub patch: Option<String>,

    /// Where layers are added [default: top]
    #[arg(
        long,
        value_parser = choices::position(),
        value_name = "POSITION",
        help_heading = "Scheme content"
    )]
    pub position: Option<Position>,
}

/// A benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchmarkName {
    /// SWE-bench and SWT-bench
    SweBench,
    /// SWE-bench Pro
    SweBenchPro,
    /// SWE-bench Multimodal
    SweBenchMultimodal,
    /// SWE-bench Multilingual
    SweBenchMultilingual,
    /// Multi-SWE-bench
    MultiSweBench,
    /// SWE-Gym
    SweGym,
    /// SWE-smith
    SweSmith,
    /// Commit0
    Commit0,
}

/// One of the images that are built for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PhaseName {
    /// The image in which the SDK is built
    Builder,
    /// The instance's image with what the agent needs of the system
    Base,
    /// The instance's image with the agent server
    Final,
}

impl SchemeArguments {
    /// The scheme that the flags ask for; `repository` is where its images are kept.
    ///
    /// # Errors
    /// When a flag is missing, is not of its form or belongs to another scheme, or a file cannot
    /// be read.
    pub(crate) fn scheme(
        &self,
        environment: &Environment,
        repository: Option<&str>,
    ) -> Result<Scheme, Failure> {
        self.refuse_misplaced()?;
        match self.scheme {
            SchemeName::V0 => self.v0(environment, repository).map(Scheme::V0),
            SchemeName::V1 => self.v1(environment).map(Scheme::V1),
            SchemeName::Bench => self.bench(environment).map(Scheme::Bench),
            SchemeName::Content => self.content().map(Box::new).map(Scheme::Content),
        }
    }

    fn refuse_misplaced(&self) -> Result<(), Failure> {
        use SchemeName::{Bench, Content, V0, V1};
        let given: [(&str, bool, &[SchemeName]); 20] = [
            ("--version", self.version.is_some(), &[V0]),
            ("--source", self.source.is_some(), &[V0]),
            ("--no-browser", self.no_browser, &[V0]),
            ("--image-tag", self.image_tag, &[V0]),
            ("--sha", self.sha.is_some(), &[V1, Bench]),
            ("--custom-tag", !self.custom_tag.is_empty(), &[V1, Bench]),
            ("--target", self.target.is_some(), &[V1, Bench]),
            ("--ref", self.git_ref.is_some(), &[V1]),
            ("--sdk-version", self.sdk_version.is_some(), &[V1]),
            ("--arch", self.arch.is_some(), &[V1]),
            ("--image-flavor", self.image_flavor.is_some(), &[V1]),
            ("--no-base-tag", self.no_base_tag, &[V1]),
            ("--versioned-tag", self.versioned_tag, &[V1]),
            ("--benchmark", self.benchmark.is_some(), &[Bench]),
            ("--phase", self.phase.is_some(), &[Bench]),
            ("--dockerfile", self.dockerfile.is_some(), &[Bench]),
            ("--tag-prefix", self.tag_prefix.is_some(), &[Bench]),
            ("--base-digest", self.base_digest.is_some(), &[Content]),
            ("--deps-digest", !self.deps_digest.is_empty(), &[Content]),
            (
                "--patch or --position",
                self.patch.is_some() || self.position.is_some(),
                &[Content],
            ),
        ];
        for (flag, is_given, schemes) in given {
            if is_given && !schemes.contains(&self.scheme) {
                return Err(Failure::usage(format!(
                    "the tags of this scheme do not depend on {flag}"
                )));
            }
        }
        Ok(())
    }

    fn v0(
        &self,
        environment: &Environment,
        repository: Option<&str>,
    ) -> Result<v0::Inputs, Failure> {
        let directory = self.source.as_deref().ok_or_else(|| {
            Failure::usage("the tags of scheme v0 depend on the source of OpenHands")
                .hinted("name a checkout with --source DIR")
        })?;
        let source = source::read(directory)?;
        let version = match &self.version {
            Some(version) => version.clone(),
            None => source.version().ok_or_else(|| {
                Failure::usage("pyproject.toml does not say the version of OpenHands")
                    .hinted("give it with --version VERSION")
            })?,
        };
        let repository = match repository {
            Some(repository) => repository.to_owned(),
            None => first_of(environment, &[OH_RUNTIME_RUNTIME_IMAGE_REPO])?
                .unwrap_or_else(|| v0::REPOSITORY.to_owned()),
        };
        Ok(v0::Inputs {
            version,
            pyproject: source.pyproject,
            poetry_lock: source.poetry_lock,
            source: source.hash,
            browser: !self.no_browser,
            repository,
            image_tag: self.image_tag,
        })
    }

    fn v1(&self, environment: &Environment) -> Result<v1::Inputs, Failure> {
        let unknown = || v1::UNKNOWN.to_owned();
        Ok(v1::Inputs {
            custom_tags: self.custom_tag.clone(),
            sha: self.sha(environment, &[SDK_SHA, GITHUB_SHA])?,
            git_ref: match &self.git_ref {
                Some(git_ref) => git_ref.clone(),
                None => first_of(environment, &[SDK_REF, GITHUB_REF])?.unwrap_or_else(unknown),
            },
            sdk_version: self.sdk_version.clone().unwrap_or_else(unknown),
            arch: self.arch.clone(),
            target: self
                .target
                .clone()
                .unwrap_or_else(|| v1::DEFAULT_TARGET.to_owned()),
            flavor: self
                .image_flavor
                .map_or(v1::Flavor::Default, v1::Flavor::from),
            base_tag: !self.no_base_tag,
            versioned_tags: self.versioned_tag,
        })
    }

    fn bench(&self, environment: &Environment) -> Result<bench::Inputs, Failure> {
        let custom_tag = match self.custom_tag.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            _ => {
                return Err(Failure::usage(
                    "--custom-tag: an image of a benchmark has one name",
                ));
            }
        };
        let content_hash = match &self.dockerfile {
            None => None,
            Some(file) => Some(bench::content_hash(&fs_err::read_to_string(file).map_err(
                |error| Failure::new("cannot read --dockerfile", error.to_string()),
            )?)),
        };
        let phase = self.phase.unwrap_or(PhaseName::Final);
        let prefix = match &self.tag_prefix {
            Some(prefix) => Some(prefix.clone()),
            None => first_of(environment, &[IMAGE_TAG_PREFIX])?,
        };
        // With a prefix, or for a prepared base, no commit goes into the tag.
        let sha = match (phase, &prefix) {
            (PhaseName::Base, _) | (PhaseName::Final, Some(_)) => {
                self.sha.clone().unwrap_or_default()
            }
            _ => self.sha(environment, &[SDK_SHA])?,
        };
        Ok(bench::Inputs {
            benchmark: self.benchmark.unwrap_or(BenchmarkName::SweBench).into(),
            phase: phase.into(),
            sha,
            content_hash,
            prefix,
            custom_tag,
            target: self
                .target
                .clone()
                .unwrap_or_else(|| bench::USUAL_TARGET.to_owned()),
        })
    }

    fn content(&self) -> Result<content::Inputs, Failure> {
        let deps = self
            .deps_digest
            .iter()
            .map(|text| {
                text.parse::<Digest>()
                    .map_err(|error| Failure::usage(format!("--deps-digest: {error}")))
            })
            .collect::<Result<_, _>>()?;
        let patch = match &self.patch {
            None => ConfigPatch::default(),
            // serde takes an array for a struct too.
            Some(text) if !text.trim_start().starts_with('{') => {
                return Err(Failure::usage("--patch: expected a JSON object"));
            }
            Some(text) => {
                let patch: ConfigPatch = serde_json::from_str(text)
                    .map_err(|error| Failure::usage(format!("--patch: {error}")))?;
                patch
                    .check()
                    .map_err(|error| Failure::usage(format!("--patch: {error}")))?;
                patch
            }
        };
        Ok(content::Inputs {
            deps,
            position: self.position.unwrap_or_default(),
            patch,
            ..content::Inputs::default()
        })
    }

    /// Upstream goes on with `unknown`; no one finds an image by such a tag,
    /// so ohoci asks for the commit.
    fn sha(&self, environment: &Environment, variables: &[Variable]) -> Result<String, Failure> {
        let sha = match &self.sha {
            Some(sha) => Some(sha.clone()),
            None => first_of(environment, variables)?,
        };
        sha.ok_or_else(|| {
            Failure::usage("the tags depend on the commit of the SDK")
                .hinted("give it with --sha SHA or SDK_SHA; `--sha unknown` is what upstream does")
        })
    }
}

/// The first of these variables that is set.
fn first_of(environment: &Environment, variables: &[Variable]) -> Result<Option<String>, Failure> {
    for &variable in variables {
        if let Some(value) = environment.get(variable) {
            return value
                .into_string()
                .map(Some)
                .map_err(|_| Failure::usage(format!("{variable} is not UTF-8")));
        }
    }
    Ok(None)
}

impl From<BenchmarkName> for Benchmark {
    fn from(name: BenchmarkName) -> Self {
        match name {
            BenchmarkName::SweBench => Self::SweBench,
            BenchmarkName::SweBenchPro => Self::SweBenchPro,
            BenchmarkName::SweBenchMultimodal => Self::SweBenchMultimodal,
            BenchmarkName::SweBenchMultilingual => Self::SweBenchMultilingual,
            BenchmarkName::MultiSweBench => Self::MultiSweBench,
            BenchmarkName::SweGym => Self::SweGym,
            BenchmarkName::SweSmith => Self::SweSmith,
            BenchmarkName::Commit0 => Self::Commit0,
        }
    }
}

impl From<PhaseName> for Phase {
    fn from(name: PhaseName) -> Self {
        match name {
            PhaseName::Builder => Self::Builder,
            PhaseName::Base => Self::Base,
            PhaseName::Final => Self::Final,
        }
    }
}
