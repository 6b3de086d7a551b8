//! Which images may be used: the `[trust]` table of the user's file.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::Error as _;

use ohoci_image::{Digest, Platform};

/// What the user's file says of images; nothing of it is in a project's file, which may be a stranger's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustSettings {
    /// What counts for images that no rule is about.
    pub default: TrustDefault,
    /// The rules; the first that is about an image counts.
    pub rule: Vec<TrustRule>,
}

/// What counts for images that no rule is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustDefault {
    /// They are let in.
    #[default]
    Accept,
    /// They are not.
    Reject,
}

/// What is asked of some images. All of it has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustRule {
    /// Which images: patterns of their names, in which `*` stands for anything.
    pub images: Vec<String>,
    /// Whether they are not let in.
    pub reject: bool,
    /// Files of public keys, one of which has to have signed them.
    pub keys: Vec<PathBuf>,
    /// Whom certificates have to name, one of whom may have signed them instead.
    pub identities: Vec<TrustIdentity>,
    /// The file that says whose certificates count, and which logs: a Sigstore's trusted root.
    pub trusted_root: Option<PathBuf>,
    /// Types of statements that one of the keys or identities has to have signed about them.
    pub attestations: Vec<String>,
    /// The digests that they may have.
    #[serde(deserialize_with = "digests")]
    pub digests: Vec<Digest>,
    /// The platforms that may be used of them.
    #[serde(deserialize_with = "platforms")]
    pub platforms: Vec<Platform>,
}

/// Whom a certificate has to name. In both, `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrustIdentity {
    /// The service that vouches for the login, by its URL.
    pub issuer: String,
    /// The login: an address of mail, or the URI of a workflow.
    pub identity: String,
}

impl TrustSettings {
    /// Makes paths relative to `directory`.
    pub(super) fn resolve(&mut self, directory: &Path) {
        for rule in &mut self.rule {
            rule.resolve(directory);
        }
    }

    /// What makes the rules useless, if anything does.
    pub(super) fn fault(&self) -> Option<String> {
        self.rule.iter().enumerate().find_map(|(at, rule)| {
            let fault = match rule.images.is_empty() {
                true => "names no images",
                false => rule.fault()?,
            };
            Some(format!("rule {} of [trust] {fault}", at + 1))
        })
    }
}

impl TrustRule {
    /// Makes paths relative to `directory`.
    pub fn resolve(&mut self, directory: &Path) {
        for path in self.keys.iter_mut().chain(&mut self.trusted_root) {
            *path = directory.join(&*path);
        }
    }

    /// What makes the rule useless whichever images it is about, if anything does: words that read on
    /// after the rule's name.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let names_nobody = self.keys.is_empty() && self.identities.is_empty();
        let asks =
            self.reject || !names_nobody || !self.digests.is_empty() || !self.platforms.is_empty();
        if self.identities.is_empty() != self.trusted_root.is_none() {
            Some("has one of \"identities\" and \"trusted-root\" without the other")
        } else if self.identities.iter().any(TrustIdentity::is_empty) {
            Some("has an identity that leaves out who it is or who vouches for it")
        } else if !self.attestations.is_empty() && names_nobody {
            Some("asks for attestations, but names no keys that sign them")
        } else if !asks {
            Some("asks for nothing")
        } else {
            None
        }
    }
}

impl TrustIdentity {
    /// Whether anybody would fit.
    fn is_empty(&self) -> bool {
        let is_anything = |pattern: &str| pattern.chars().all(|c| c == '*');
        is_anything(&self.issuer) || is_anything(&self.identity)
    }
}

fn digests<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Digest>, D::Error> {
    parsed(deserializer)
}

fn platforms<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Platform>, D::Error> {
    parsed(deserializer)
}

fn parsed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    Vec::<String>::deserialize(deserializer)?
        .iter()
        .map(|text| text.parse().map_err(D::Error::custom))
        .collect()
}
