//! What the solver asks while it solves.

use std::any::Any;

use resolvo::{
    Candidates, ConditionalRequirement, Dependencies, DependencyProvider, KnownDependencies,
    NameId, SolvableId, SolverCache, VersionSetId,
};

use super::order;
use super::provider::Provider;

impl DependencyProvider for Provider<'_> {
    async fn filter_candidates(
        &self,
        candidates: &[SolvableId],
        version_set: VersionSetId,
        inverse: bool,
    ) -> Vec<SolvableId> {
        let all = candidates.iter().copied();
        all.filter(|solvable| self.takes(version_set, *solvable) != inverse)
            .collect()
    }

    async fn get_candidates(&self, name: NameId) -> Option<Candidates> {
        self.candidates(name)
    }

    async fn sort_candidates(&self, _: &SolverCache<Self>, solvables: &mut [SolvableId]) {
        order::sort(self, solvables);
    }

    async fn get_dependencies(&self, solvable: SolvableId) -> Dependencies {
        match self.relations(solvable) {
            Ok(relations) => Dependencies::Known(KnownDependencies {
                requirements: relations
                    .needs
                    .into_iter()
                    .map(ConditionalRequirement::from)
                    .collect(),
                constrains: relations.constrains,
            }),
            Err(why) => Dependencies::Unknown(why),
        }
    }

    fn should_cancel_with_value(&self) -> Option<Box<dyn Any>> {
        let goes_on = self.begin_round();
        (!goes_on).then(|| Box::new(()) as Box<dyn Any>)
    }
}
