//! Features of compiled Python modules, whose layers come from those below them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{BuildError, Work};
use crate::assemble::Assembled;
use crate::bytecode::{BytecodeError, Interpreter, Job, Wanted, compiled};
use crate::recipe::{Bytecode, Feature, Recipe};
use ohoci_compose::read::this_machine;
use ohoci_config::environment::PATH;
use ohoci_image::Platform;
use ohoci_image::config_patch::merged;
use ohoci_layer::{Entry, Rules, Tree};
use ohoci_sandbox::Limiter;

/// The platform whose programs compile for all others, when it is not among those that are built;
/// `None` when nothing is compiled, or all are built for it.
pub(super) fn platform(
    recipe: &Recipe,
    platforms: &[Platform],
) -> Result<Option<Platform>, BuildError> {
    let mut features = recipe.features.iter();
    let compiled = features.find(|feature| feature.bytecode.is_some());
    let Some(feature) = compiled.filter(|_| !platforms.iter().all(runs_here)) else {
        return Ok(None);
    };
    let mut known = recipe.platforms.iter();
    match known.find(|platform| runs_here(platform)) {
        Some(platform) => Ok(Some(platform.clone())),
        None => Err(BuildError::NoInterpreter {
            feature: feature.name.get_ref().to_string(),
            here: Box::new(this_machine()),
        }),
    }
}

/// Whether this machine runs programs that are made for a platform.
pub(super) fn runs_here(platform: &Platform) -> bool {
    platform.architecture == this_machine().architecture
}

/// The positions of the features that one requires, directly or not.
fn required(recipe: &Recipe, feature: &Feature) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&Feature> = vec![feature];
    while let Some(feature) = open.pop() {
        for name in &feature.requires {
            let mut features = recipe.features.iter().enumerate();
            let is = |(_, other): &(usize, &Feature)| other.name.get_ref() == name.get_ref();
            if let Some((at, other)) = features.find(is)
                && found.insert(at)
            {
                open.push(other);
            }
        }
    }
    found
}

impl Work<'_> {
    /// Compiles what features have to be compiled, into their layers. `here` are the layers that this
    /// machine can run, when those in `assembled` are not.
    pub(super) async fn compile(
        &self,
        assembled: &mut Assembled,
        here: Option<&Assembled>,
    ) -> Result<(), BuildError> {
        for (at, feature) in self.recipe.features.iter().enumerate() {
            let Some(table) = &feature.bytecode else {
                continue;
            };
            self.step(format!("compiling {}", feature.name.get_ref()));
            let fail = |error| BuildError::Compile {
                feature: feature.name.get_ref().to_string(),
                error,
            };
            let below = required(self.recipe, feature);
            let compiled = self.modules(table, &below, assembled, here).await;
            let Some(layer) = assembled.layers.get_mut(at) else {
                continue;
            };
            for (path, entry) in &compiled.map_err(fail)? {
                if entry.is_directory() && layer.tree.get(path).is_some_and(Entry::is_directory) {
                    continue;
                }
                layer
                    .tree
                    .insert(path.clone(), entry.clone(), Rules::Strict)
                    .map_err(|error| fail(error.into()))?;
            }
        }
        Ok(())
    }

    /// The compiled modules of one feature, which are those of the layers `below` it.
    async fn modules(
        &self,
        table: &Bytecode,
        below: &BTreeSet<usize>,
        assembled: &Assembled,
        here: Option<&Assembled>,
    ) -> Result<Tree, BytecodeError> {
        let sources = layers(assembled, below);
        let runnable = here.map_or_else(|| sources.clone(), |here| layers(here, below));
        let environment = self.variables(below);
        let job = Job {
            table,
            environment: &environment,
            prefix: &self.recipe.prefix,
            layers: &runnable,
        };
        let wanted = Wanted {
            sources: &sources,
            compiled_from: here.map(|_| runnable.as_slice()),
            spool_dir: self.session.work_dir,
        };
        let limiter = Arc::new(Limiter::find(self.build.limits));
        self.observer.limited(&limiter);
        let path = self.session.environment.get(PATH);
        let interpreter = Interpreter {
            path: path.as_deref(),
            limiter: &limiter,
            threads: self.build.threads.get(),
        };
        compiled(&job, &wanted, &self.session.resolver.cache, interpreter).await
    }

    /// What an image with the features sets for its programs. Their places are not in it, which are
    /// made from those that a base has.
    fn variables(&self, below: &BTreeSet<usize>) -> BTreeMap<String, String> {
        let features = self.recipe.features.iter().enumerate();
        let patches = features
            .filter(|(at, _)| below.contains(at))
            .map(|(_, feature)| &feature.patch);
        let variables = merged(patches).env.into_iter();
        variables
            .filter(|(_, value)| !value.contains('$'))
            .collect()
    }
}

fn layers<'t>(assembled: &'t Assembled, below: &BTreeSet<usize>) -> Vec<&'t Tree> {
    let layers = assembled.layers.iter().enumerate();
    layers
        .filter(|(at, _)| below.contains(at))
        .map(|(_, layer)| &layer.tree)
        .collect()
}
