//! How many bytes levels hold that are not built yet, and how that is known.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::planned::Planned;
use ohoci_store::cache::Cache;
use ohoci_swebench_images::builder::{Order, known_history};
use ohoci_swebench_images::checkout::STEPS;
use ohoci_swebench_images::estimate::Estimate;
use ohoci_swebench_images::git::Git;
use ohoci_swebench_images::kept::KeptLayer;
use ohoci_swebench_images::repository::{RepoSource, at_hand};
use ohoci_swebench_images::sizes::Sized;

/// Where the bytes of a layer are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Basis {
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
pub(super) struct Size {
    /// How many; `None` where nothing tells.
    pub(super) size: Option<u64>,
    /// Whether that is an estimate.
    pub(super) estimated: bool,
    pub(super) basis: Option<Basis>,
}

impl Size {
    pub(super) fn unknown() -> Self {
        Self {
            size: None,
            estimated: false,
            basis: None,
        }
    }

    pub(super) fn of(size: u64, basis: Basis) -> Self {
        Self {
            size: Some(size),
            estimated: !matches!(basis, Basis::Manifest | Basis::Cache),
            basis: Some(basis),
        }
    }
}

/// A layer of the plan: those with the same name are one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LayerPlan {
    pub(super) level: &'static str,
    #[serde(skip)]
    pub(super) name: String,
    /// The key under which it is kept, where it is known beforehand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    #[serde(flatten)]
    pub(super) size: Size,
}

/// What this machine knows of layers that are not built yet.
#[derive(Debug)]
pub(super) struct Forecast {
    cache: Arc<Cache>,
    repositories: HashMap<String, Estimate>,
}

impl Forecast {
    /// Looks at the repositories that are on this machine, side by side.
    pub(super) fn look(
        cache: Arc<Cache>,
        git: &Git,
        sources: &[RepoSource],
        clones: &Path,
        planned: &[Planned],
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
            let found = at_hand(git, sources, repository, commit, clones)?;
            Some((repository.to_owned(), Estimate::of(&found, commit).ok()?))
        };
        let repositories = std::thread::scope(|scope| {
            let looks: Vec<_> = commits
                .iter()
                .map(|(repository, commit)| scope.spawn(|| look(repository, commit)))
                .collect();
            let found = looks.into_iter().filter_map(|look| look.join().ok()?);
            found.collect()
        });
        Self {
            cache,
            repositories,
        }
    }

    /// Python and packages of an environment. `known` are their keys and, where they are built,
    /// their layers.
    pub(super) fn environment(
        &self,
        order: &Order,
        known: Option<[(String, Option<KeptLayer>); 2]>,
    ) -> Vec<LayerPlan> {
        let lock = &order.environment.lock;
        let names = [("python", lock.python.clone()), ("environment", lock.key())];
        let sized = [Sized::python(lock), Sized::environment(lock)];
        let [python, environment] = known.map_or([None, None], |known| known.map(Some));
        names
            .into_iter()
            .zip(sized)
            .zip([python, environment])
            .map(|(((level, name), sized), known)| {
                let (key, layer) = known.map_or((None, None), |(key, layer)| (Some(key), layer));
                let size = match layer {
                    Some(layer) => Size::of(layer.size(), Basis::Cache),
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
    pub(super) fn instance(&self, order: &Order) -> Vec<LayerPlan> {
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
                    Some(layer) => Size::of(layer.size(), Basis::Cache),
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
            Some(size) => Size::of(size, Basis::BuiltBefore),
            None => Size::unknown(),
        }
    }
}
