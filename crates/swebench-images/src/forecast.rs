//! How many bytes levels hold that are not built yet, and how that is known.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::planned::PlannedImage;
use crate::builder::{Order, known_history};
use crate::checkout::STEPS;
use crate::estimate::Estimate;
use crate::git::Git;
use crate::kept::KeptLayer;
use crate::repository::{RepoSource, at_hand, has_url};
use crate::sizes::{Sized, python_name};
use ohoci_store::cache::Cache;

/// Where the bytes of a layer are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Basis {
    /// The layer's descriptor.
    Manifest,
    /// The layer itself, which the cache has.
    Cache,
    /// The same was built before, perhaps on another base.
    BuiltBefore,
    /// The share that its commits have of the repository's, of the bytes that those take there.
    Commits,
    /// That, and a work tree as an archive; not what its installation adds.
    CommitsAndWorkTree,
}

/// The bytes of a layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// How many; `None` where nothing tells.
    pub size: Option<u64>,
    /// The bytes of its tar, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncompressed: Option<u64>,
    /// Whether that is an estimate.
    pub estimated: bool,
    /// Where they are known from.
    pub basis: Option<Basis>,
}

impl Size {
    pub(crate) fn unknown() -> Self {
        Self {
            size: None,
            uncompressed: None,
            estimated: false,
            basis: None,
        }
    }

    pub(crate) fn of(size: u64, basis: Basis) -> Self {
        Self {
            size: Some(size),
            uncompressed: None,
            estimated: !matches!(basis, Basis::Manifest | Basis::Cache),
            basis: Some(basis),
        }
    }

    /// That of a layer that is there.
    fn of_kept(layer: &KeptLayer) -> Self {
        Self {
            uncompressed: Some(layer.uncompressed),
            ..Self::of(layer.size(), Basis::Cache)
        }
    }
}

/// A layer of the plan: those with the same name are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerPlan {
    /// The level.
    pub level: &'static str,
    /// What tells it from others of the level.
    #[serde(skip)]
    pub name: String,
    /// The key under which it is kept, where it is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its bytes.
    #[serde(flatten)]
    pub size: Size,
}

/// What this machine knows of layers that are not built yet.
#[derive(Debug)]
pub(crate) struct Forecast {
    cache: Arc<Cache>,
    repositories: HashMap<String, Estimate>,
    /// Repositories that no place has.
    pub(crate) missing: BTreeSet<String>,
}

impl Forecast {
    /// Looks at the repositories that are on this machine, side by side.
    pub(crate) fn look(
        cache: Arc<Cache>,
        git: &Git,
        sources: &[RepoSource],
        clones: &Path,
        planned: &[PlannedImage],
    ) -> Self {
        // One commit for each: the last that the dataset has.
        let mut commits: HashMap<&str, &str> = HashMap::new();
        for order in planned
            .iter()
            .filter_map(|planned| planned.order.as_ref().ok())
        {
            if let Some(commit) = &order.row.base_commit {
                commits.insert(&order.row.repo, commit);
            }
        }
        let look = |repository: &str, commit: &str| {
            let found = at_hand(git, sources, repository, commit, clones);
            let is_missing = found.is_none() && !has_url(sources, repository);
            let estimate = found.and_then(|found| Estimate::of(&found, commit).ok());
            (repository.to_owned(), is_missing, estimate)
        };
        let looked: Vec<_> = std::thread::scope(|scope| {
            let looks: Vec<_> = commits
                .iter()
                .map(|(repository, commit)| scope.spawn(|| look(repository, commit)))
                .collect();
            let found = looks.into_iter().filter_map(|look| look.join().ok());
            found.collect()
        });
        let mut missing = BTreeSet::new();
        let mut repositories = HashMap::new();
        for (repository, is_missing, estimate) in looked {
            // Without a source, it is not known yet where repositories come from.
            if is_missing && !sources.is_empty() {
                missing.insert(repository.clone());
            }
            if let Some(estimate) = estimate {
                repositories.insert(repository, estimate);
            }
        }
        Self {
            cache,
            repositories,
            missing,
        }
    }

    /// Python and packages of an environment. `known` are their keys and, where they are built,
    /// their layers.
    pub(crate) fn environment(
        &self,
        order: &Order,
        known: Option<[(String, Option<KeptLayer>); 2]>,
    ) -> Vec<LayerPlan> {
        let lock = &order.environment.lock;
        let names = [("python", python_name(lock)), ("environment", lock.key())];
        let sized = [Sized::python(lock), Sized::environment(lock)];
        let [python, environment] = known.map_or([None, None], |known| known.map(Some));
        names
            .into_iter()
            .zip(sized)
            .zip([python, environment])
            .map(|(((level, name), sized), known)| {
                let (key, layer) = known.map_or((None, None), |(key, layer)| (Some(key), layer));
                let size = match layer {
                    Some(layer) => Size::of_kept(&layer),
                    None => self.built_before(&sized),
                };
                LayerPlan {
                    level,
                    name,
                    key,
                    size,
                }
            })
            .collect()
    }

    /// History and own level of an instance.
    pub(crate) fn instance(&self, order: &Order) -> Vec<LayerPlan> {
        let commit = order.row.base_commit.as_deref().unwrap_or_default();
        let id = &order.row.instance_id;
        let looked = self.repositories.get(&order.row.repo);
        let looked = looked.and_then(|estimate| estimate.checkout(commit, STEPS));
        let built = self.built_before(&Sized::Instance(id.clone(), commit.to_owned()));
        let mut layers = Vec::new();
        let mut own = built;
        if let Some(checkout) = looked {
            for (part, estimate) in checkout.parts {
                let size = match known_history(&self.cache, &part) {
                    Some(layer) => Size::of_kept(&layer),
                    None => Size::of(estimate, Basis::Commits),
                };
                layers.push(LayerPlan {
                    level: "history",
                    name: part.key(),
                    key: None,
                    size,
                });
            }
            if own.size.is_none() {
                own = Size::of(checkout.own, Basis::CommitsAndWorkTree);
            }
        }
        layers.push(LayerPlan {
            level: "instance",
            name: id.clone(),
            key: None,
            size: own,
        });
        layers
    }

    fn built_before(&self, sized: &Sized) -> Size {
        match sized.remembered(&self.cache) {
            Some((size, uncompressed)) => Size {
                uncompressed,
                ..Size::of(size, Basis::BuiltBefore)
            },
            None => Size::unknown(),
        }
    }
}
