//! Lets in the images that the policy accepts. Verdicts are kept: in a run, and in the cache for a day.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use ohoci_image::{Digest, Platform, Reference};
use ohoci_store::{Error, ErrorKind, Source};
use ohoci_trust::policy::{Policy, Refusal, Rule};

use super::found::{self, Found};
use crate::sources::Sources;

/// How many verdicts are kept in memory: a process that composes for others reads ever more images.
const MOST: usize = 4096;

/// An image under a name.
type Named = (String, Digest);

/// The policy, and what it came to.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    policy: Policy,
    accepted: Mutex<HashMap<Named, Arc<OnceCell<()>>>>,
}

impl Gate {
    /// Keeps to a policy.
    #[must_use]
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            accepted: Mutex::default(),
        }
    }

    /// What it keeps to.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether anything is asked of images of that name.
    pub(crate) fn asks(&self, image: &Reference) -> bool {
        !self.policy.rules(image).is_empty()
    }

    /// Lets an image in, or says why not.
    ///
    /// # Errors
    /// [`ErrorKind::Untrusted`] where the policy refuses it; when signatures cannot be read.
    pub(super) async fn admit(
        &self,
        sources: &Sources,
        source: &dyn Source,
        image: &Reference,
        digest: &Digest,
    ) -> Result<(), Error> {
        let cell = {
            let mut accepted = self.accepted.lock();
            let key = (image.to_string(), digest.clone());
            if accepted.len() >= MOST {
                accepted.retain(|_, verdict| !verdict.initialized());
            }
            Arc::clone(accepted.entry(key).or_default())
        };
        cell.get_or_try_init(|| self.judge(sources, source, image, digest))
            .await
            .copied()
    }

    async fn judge(
        &self,
        sources: &Sources,
        source: &dyn Source,
        image: &Reference,
        digest: &Digest,
    ) -> Result<(), Error> {
        let mut found = Found::default();
        let mut read = Read::Nothing;
        for (file, rule) in self.policy.rules(image) {
            // The rule with its keys is part of what is remembered: another key, another verdict.
            let rule_digest = Digest::of(format!("{rule:?}").as_bytes());
            let remembered = [
                image.to_string(),
                digest.to_string(),
                rule_digest.to_string(),
            ];
            if rule.needs_signatures() && sources.cache.was_accepted(&remembered) {
                continue;
            }
            loop {
                let refusal = match rule.judge(file, image, digest, &found.signatures) {
                    Ok(()) => break,
                    Err(refusal) => refusal,
                };
                match read {
                    Read::Nothing if rule.needs_signatures() => {
                        found::bundles(source, digest, &mut found).await?;
                        read = Read::Bundles;
                    }
                    Read::Bundles if rule.needs_signatures() => {
                        found::tagged(sources, image, digest, &mut found).await?;
                        read = Read::All;
                    }
                    _ => return Err(refused(image, digest, file, rule, &refusal, &found)),
                }
            }
            if rule.needs_signatures() {
                sources.cache.remember_accepted(&remembered);
            }
        }
        Ok(())
    }

    /// Checks the platform of an image that is about to be used.
    ///
    /// # Errors
    /// [`ErrorKind::Untrusted`] where the policy does not allow it.
    pub(super) fn admit_platform(
        &self,
        image: &Reference,
        platform: &Platform,
    ) -> Result<(), Error> {
        for (file, rule) in self.policy.rules(image) {
            if !rule.allows(platform) {
                return Err(Error::new(
                    ErrorKind::Untrusted,
                    format!("cannot use {image}"),
                    format!(
                        "{file} ({}) refuses it: it is for {platform}, which is not among the \
                         platforms there",
                        rule.name
                    ),
                )
                .hinted(format!("add {platform} to that rule to allow it")));
            }
        }
        Ok(())
    }
}

/// How far the signatures of an image were read.
#[derive(Clone, Copy)]
enum Read {
    Nothing,
    Bundles,
    All,
}

fn refused(
    image: &Reference,
    digest: &Digest,
    file: &str,
    rule: &Rule,
    refusal: &Refusal,
    found: &Found,
) -> Error {
    let mut why = refusal.to_string();
    if !found.unreadable.is_empty() {
        why.push_str(&format!(
            "; what could not be read: {}",
            found.unreadable.join("; ")
        ));
    }
    let name = match image {
        Reference::Registry(name) => name.at(digest).to_string(),
        local => format!("{local} ({digest})"),
    };
    let allow = if rule.needs_signatures() {
        format!(
            "`ohoci verify --key KEY {image}` shows what there is; a signature by a key of that rule \
             or another rule in {file} lets it in"
        )
    } else {
        format!("change that rule in {file} to allow it")
    };
    Error::new(ErrorKind::Untrusted, format!("cannot use {name}"), why).hinted(allow)
}
