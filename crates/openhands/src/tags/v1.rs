//! Tags of agent-server images, as the software-agent-sdk makes them.
//!
//! Source: `openhands-agent-server/openhands/agent_server/docker/build.py` of the SDK, November 2026
//! (1.58.2). Tags without a flavor are those of 1.43.1, too.

use super::error::TagError;
use super::hash::sha256_prefix;
use super::legal::legal;

/// Where the SDK keeps agent-server images.
pub const REPOSITORY: &str = "ghcr.io/openhands/agent-server";

/// What the SDK says when it does not know a commit, a ref or a version.
pub const UNKNOWN: &str = "unknown";

/// The target that leaves no mark in tags.
pub const DEFAULT_TARGET: &str = "binary";

/// The targets that the SDK builds.
pub const TARGETS: [&str; 7] = [
    DEFAULT_TARGET,
    "binary-minimal",
    "source",
    "source-minimal",
    "base-image-minimal",
    "base-image",
    "builder",
];

/// How much an image holds; upstream's `--image-flavor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flavor {
    /// Leaves no mark in tags.
    #[default]
    Default,
    /// `-slim`
    Slim,
    /// `-minimal`
    Minimal,
}

impl Flavor {
    /// What the flavor adds behind a variant's name or a base's.
    fn suffix(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Slim => "-slim",
            Self::Minimal => "-minimal",
        }
    }
}

/// The target that [`Flavor::Minimal`] names already.
const MINIMAL_TARGET: &str = "binary-minimal";

/// The longest slug of a base.
const SLUG_LENGTH: usize = 64;

/// Everything that V1 tags depend on, but the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Names of variants: `python`, `golang`.
    pub custom_tags: Vec<String>,
    /// The commit of the SDK, or [`UNKNOWN`].
    pub sha: String,
    /// Its ref: a branch's name, `refs/heads/…`, `refs/tags/…`, or [`UNKNOWN`].
    pub git_ref: String,
    /// The version of the SDK, or [`UNKNOWN`].
    pub sdk_version: String,
    /// The architecture at the end of the tags of a single-platform image: `amd64`.
    pub arch: Option<String>,
    /// The target: one of [`TARGETS`].
    pub target: String,
    /// How much the image holds.
    pub flavor: Flavor,
    /// Whether the tag that names the base is wanted; upstream sets it unless told otherwise.
    pub base_tag: bool,
    /// Whether the tags of a release are wanted.
    pub versioned_tags: bool,
}

impl Inputs {
    /// All tags in the order of upstream's `all_tags`.
    ///
    /// # Errors
    /// When the tag that names the base is wanted and the base is empty, or when no tag is wanted.
    pub fn tags(&self, base: &str) -> Result<Vec<String>, TagError> {
        let short = short_sha(&self.sha);
        let flavor = self.flavor.suffix();
        let mut tags = Vec::new();
        for custom in self.custom_tags() {
            let custom = format!("{custom}{flavor}");
            tags.push(format!("{short}-{custom}"));
            tags.push(format!("{}-{custom}", self.sha));
            tags.extend(branch_tag(&self.git_ref).map(|branch| format!("{branch}-{custom}")));
        }
        if self.base_tag {
            if base.is_empty() {
                return Err(TagError::NoBase);
            }
            tags.push(format!("{short}-{}{flavor}", base_slug(base, SLUG_LENGTH)));
        }
        if self.versioned_tags {
            tags.extend(self.versioned_tags());
        }
        if tags.is_empty() {
            return Err(TagError::NothingWanted);
        }
        let arch = suffix(self.arch.as_deref().unwrap_or_default());
        let target = match self.flavor {
            Flavor::Minimal if self.target == MINIMAL_TARGET => String::new(),
            _ => target_suffix(&self.target),
        };
        Ok(tags
            .iter()
            .map(|tag| legal(&format!("{tag}{arch}{target}")))
            .collect())
    }

    /// The tags of a release, per variant: those of 1.2.3 are `1-…`, `1.2-…` and `1.2.3-…`.
    #[must_use]
    pub fn versioned_tags(&self) -> Vec<String> {
        let releases = release_tag_source(&self.git_ref, &self.sdk_version)
            .map(release_tag_aliases)
            .unwrap_or_default();
        let flavor = self.flavor.suffix();
        self.custom_tags()
            .flat_map(|custom| {
                releases
                    .iter()
                    .map(move |release| format!("{release}-{custom}{flavor}"))
            })
            .collect()
    }

    fn custom_tags(&self) -> impl Iterator<Item = &str> {
        self.custom_tags
            .iter()
            .map(|tag| tag.trim())
            .filter(|tag| !tag.is_empty())
    }
}

/// The first seven characters of a commit.
pub(super) fn short_sha(sha: &str) -> &str {
    if sha == UNKNOWN {
        return sha;
    }
    sha.char_indices()
        .nth(7)
        .and_then(|(at, _)| sha.get(..at))
        .unwrap_or(sha)
}

/// What a target adds to the end of a tag.
pub(super) fn target_suffix(target: &str) -> String {
    suffix(if target == DEFAULT_TARGET { "" } else { target })
}

fn suffix(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!("-{text}")
    }
}

/// What stands for the base in tags: itself with `/` and `:` spelled out, or when that is longer
/// than `max_length`, its repository, its tag and a hash. It may be illegal as upstream's is.
#[must_use]
pub(crate) fn base_slug(base: &str, max_length: usize) -> String {
    let slug = base.replace('/', "_s_").replace(':', "_tag_");
    if slug.chars().count() <= max_length {
        return slug;
    }
    let hash = sha256_prefix(&slug, 12);
    let (name, tag) = slug.rsplit_once("_tag_").unwrap_or((&slug, ""));
    let repository = name.rsplit("_s_").next().unwrap_or(name);
    let budget = max_length.saturating_sub(hash.len() + 1);
    format!("{}-{hash}", truncate_ident(repository, tag, budget))
}

/// Repository and tag in at most `budget` characters; of the two the tag is kept longer.
#[must_use]
pub(crate) fn truncate_ident(repository: &str, tag: &str, budget: usize) -> String {
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!("_tag_{tag}")
    };
    let room = budget.saturating_sub(tag.chars().count());
    repository
        .chars()
        .take(room)
        .chain(tag.chars())
        .take(budget)
        .collect()
}

/// What stands for the branch; nothing for a tag, a pull request or an unknown ref.
#[must_use]
pub(crate) fn branch_tag(git_ref: &str) -> Option<String> {
    if git_ref.is_empty() || git_ref == UNKNOWN {
        return None;
    }
    let branch = match git_ref.strip_prefix("refs/") {
        Some(rest) => rest.strip_prefix("heads/")?,
        None => git_ref,
    };
    let branch = if branch.is_empty() { UNKNOWN } else { branch };
    Some(
        dashed(branch, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '-')
        })
        .to_lowercase(),
    )
}

/// What a release is called: the SDK's version, or the git tag if that is no version.
#[must_use]
pub(crate) fn release_tag_source<'a>(git_ref: &'a str, sdk_version: &'a str) -> Option<&'a str> {
    let version = Some(sdk_version).filter(|version| !matches!(*version, "" | UNKNOWN));
    match git_ref.strip_prefix("refs/tags/") {
        // An empty version is no version here, and upstream's one exception is an unknown one.
        Some(tag) if semver(tag).is_some() => match sdk_version {
            UNKNOWN => Some(tag.strip_prefix('v').unwrap_or(tag)),
            _ => version,
        },
        Some(tag) => Some(tag).filter(|tag| !tag.is_empty()),
        None => version,
    }
}

/// A release and its shorter names: `1.2.3` is also `1` and `1.2`.
#[must_use]
pub(crate) fn release_tag_aliases(version: &str) -> Vec<String> {
    let version = version.trim();
    if version.is_empty() {
        return Vec::new();
    }
    if let Some((prefix, [major, minor, patch])) = semver(version) {
        return vec![
            format!("{prefix}{major}"),
            format!("{prefix}{major}.{minor}"),
            format!("{prefix}{major}.{minor}.{patch}"),
        ];
    }
    let text = dashed(version, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
    });
    let text = text.trim_matches(['.', '-']);
    vec![if text.is_empty() { UNKNOWN } else { text }.to_owned()]
}

/// `v` or nothing, and the three numbers of `X.Y.Z`.
fn semver(text: &str) -> Option<(&str, [&str; 3])> {
    let (prefix, numbers) = match text.strip_prefix('v') {
        Some(numbers) => ("v", numbers),
        None => ("", text),
    };
    let mut numbers = numbers.split('.');
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
    let is_number = |text: &&str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'))
    };
    (numbers.next().is_none() && [major, minor, patch].iter().all(is_number))
        .then_some((prefix, [major, minor, patch]))
}

/// One dash in the place of each run of characters that may not stay.
pub(super) fn dashed(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut result = String::with_capacity(text.len());
    let mut replacing = false;
    for c in text.chars() {
        let replace = !stays(c);
        if !replace {
            result.push(c);
        } else if !replacing {
            result.push('-');
        }
        replacing = replace;
    }
    result
}

#[cfg(test)]
mod tests;
