//! Features of compiled Python modules, whose layers come from those below them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::context::Context;
use crate::failure::Failure;
use crate::limits::LimitArguments;
use ohoci_compose::read::this_machine;
use ohoci_compose::{Event, Observer};
use ohoci_config::environment::PATH;
use ohoci_deps::assemble::{Assembled, merged};
use ohoci_deps::bytecode::{BytecodeError, Job, Wanted, compiled};
use ohoci_deps::recipe::{Bytecode, Feature, Recipe};
use ohoci_image::Platform;
use ohoci_layer::{Entry, Rules, Tree};
use ohoci_sandbox::Limiter;

/// How long compiling may take where nobody says.
const TIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The platform whose programs compile for all others, when it is not among those that are built;
/// `None` when nothing is compiled, or all are built for it.
pub(super) fn compiling_platform(
    recipe: &Recipe,
    platforms: &[Platform],
) -> Result<Option<Platform>, Failure> {
    let mut features = recipe.features.iter();
    let compiled = features.find(|feature| feature.bytecode.is_some());
    let Some(feature) = compiled.filter(|_| !platforms.iter().all(runs_here)) else {
        return Ok(None);
    };
    let mut known = recipe.platforms.iter();
    match known.find(|platform| runs_here(platform)) {
        Some(platform) => Ok(Some(platform.clone())),
        None => {
            let (name, here) = (feature.name.get_ref(), this_machine());
            Err(Failure::new(
                format!("cannot build feature {name}"),
                format!(
                    "Python modules are compiled by the interpreter that is packed, and the recipe \
                     has none for this machine, {here}"
                ),
            )
            .hinted(format!("--without {name}, or add {here} to the platforms")))
        }
    }
}

/// Whether this machine runs programs that are made for a platform.
pub(super) fn runs_here(platform: &Platform) -> bool {
    platform.architecture == this_machine().architecture
}

/// Compiles what features have to be compiled, into their layers. `here` are the layers that this
/// machine can run, when those in `assembled` are not.
pub(super) async fn add(
    recipe: &Recipe,
    assembled: &mut Assembled,
    here: Option<&Assembled>,
    context: &Context,
    limits: &LimitArguments,
    threads: usize,
    observer: &Arc<dyn Observer>,
) -> Result<(), Failure> {
    for (at, feature) in recipe.features.iter().enumerate() {
        let Some(table) = &feature.bytecode else {
            continue;
        };
        let name = feature.name.get_ref();
        observer.event(&Event::Step(format!("compiling {name}")));
        let below = required(recipe, feature);
        let work = Work {
            recipe,
            table,
            below: &below,
            limits,
            threads,
        };
        let compiled = work
            .tree(assembled, here, context)
            .await
            .map_err(|error| failure(feature, &error))?;
        if let Some(layer) = assembled.layers.get_mut(at) {
            for (path, entry) in &compiled {
                if entry.is_directory() && layer.tree.get(path).is_some_and(Entry::is_directory) {
                    continue;
                }
                layer
                    .tree
                    .insert(path.clone(), entry.clone(), Rules::Strict)
                    .map_err(|error| failure(feature, &error.into()))?;
            }
        }
    }
    Ok(())
}

fn failure(feature: &Feature, error: &BytecodeError) -> Failure {
    let name = feature.name.get_ref();
    let failure = Failure::new(format!("cannot compile feature {name}"), error.to_string());
    match error.hint() {
        Some(hint) => failure.hinted(format!("{hint}; or --without {name}")),
        None => failure,
    }
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

/// One feature's modules.
struct Work<'a> {
    recipe: &'a Recipe,
    table: &'a Bytecode,
    below: &'a BTreeSet<usize>,
    limits: &'a LimitArguments,
    threads: usize,
}

impl Work<'_> {
    async fn tree(
        &self,
        assembled: &Assembled,
        here: Option<&Assembled>,
        context: &Context,
    ) -> Result<Tree, BytecodeError> {
        let sources = self.layers(assembled);
        let runnable = here.map_or_else(|| sources.clone(), |here| self.layers(here));
        let environment = self.environment();
        let job = Job {
            table: self.table,
            environment: &environment,
            prefix: &self.recipe.prefix,
            layers: &runnable,
        };
        let wanted = Wanted {
            sources: &sources,
            compiled_from: here.map(|_| runnable.as_slice()),
            spool_dir: &context.work_dir,
        };
        let path = context.environment.get(PATH);
        let cache = &context.resolver.cache;
        let limits = self.limits.limits(&context.work_dir, 1, Some(TIME));
        let limiter = Arc::new(Limiter::find(limits));
        self.limits.tell(&limiter);
        let path = path.as_deref();
        compiled(&job, &wanted, cache, path, &limiter, self.threads).await
    }

    /// What an image with the features sets for its programs. Their places are not in it, which are
    /// made from those that a base has.
    fn environment(&self) -> BTreeMap<String, String> {
        let features = self.recipe.features.iter().enumerate();
        let patches = features
            .filter(|(at, _)| self.below.contains(at))
            .map(|(_, feature)| &feature.patch);
        let variables = merged(patches).env.into_iter();
        variables
            .filter(|(_, value)| !value.contains('$'))
            .collect()
    }

    fn layers<'t>(&self, assembled: &'t Assembled) -> Vec<&'t Tree> {
        let layers = assembled.layers.iter().enumerate();
        layers
            .filter(|(at, _)| self.below.contains(at))
            .map(|(_, layer)| &layer.tree)
            .collect()
    }
}
