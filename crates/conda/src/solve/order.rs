//! Which of two packages that are both possible is the better one: conda's order, as its solvers have it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use resolvo::{SolvableId, VersionSetId};

use super::ChannelPriority;
use super::candidate::{Best, Candidate};
use super::provider::Provider;

/// Sorts the packages of a name, the best one first: those without features that speak against them; with
/// flexible priority those of channels in front; the highest version; the highest number of the build; the one whose
/// dependencies can have the higher versions, in the order of their names; the newest; by name.
pub(super) fn sort(provider: &Provider<'_>, solvables: &mut [SolvableId]) {
    let by_itself = |a: &SolvableId, b: &SolvableId| {
        let (a, b) = (provider.candidate(*a), provider.candidate(*b));
        let channels = match provider.priority {
            ChannelPriority::Flexible => a.channel.cmp(&b.channel),
            ChannelPriority::Strict | ChannelPriority::Disabled => Ordering::Equal,
        };
        let builds = |candidate: &Candidate| candidate.located.record.build_number;
        a.is_avoided()
            .cmp(&b.is_avoided())
            .then(channels)
            .then_with(|| b.version.cmp(&a.version))
            .then_with(|| builds(b).cmp(&builds(a)))
    };
    solvables.sort_by(by_itself);
    for equals in solvables.chunk_by_mut(|a, b| by_itself(a, b).is_eq()) {
        if equals.len() > 1 {
            by_dependencies(provider, equals);
        }
    }
}

/// Sorts packages that differ in nothing else by the versions that what all of them need can have.
fn by_dependencies(provider: &Provider<'_>, solvables: &mut [SolvableId]) {
    let needs: HashMap<SolvableId, BTreeMap<&str, Vec<VersionSetId>>> = solvables
        .iter()
        .map(|solvable| {
            let mut by_name: BTreeMap<&str, Vec<VersionSetId>> = BTreeMap::new();
            for asked in provider.relations(*solvable).unwrap_or_default().needs {
                by_name
                    .entry(provider.asked_name(asked))
                    .or_default()
                    .push(asked);
            }
            (*solvable, by_name)
        })
        .collect();
    let common: Vec<&str> = solvables
        .first()
        .and_then(|first| needs.get(first))
        .into_iter()
        .flat_map(BTreeMap::keys)
        .copied()
        .filter(|name| needs.values().all(|of_one| of_one.contains_key(name)))
        .collect();
    // Of several demands on one package the strictest one counts.
    let best = |solvable: &SolvableId, name: &str| {
        let asked = needs.get(solvable).and_then(|by_name| by_name.get(name));
        let all = asked.into_iter().flatten();
        all.filter_map(|asked| provider.best(*asked))
            .reduce(|strictest, other| match other.order(&strictest) {
                Ordering::Greater => other,
                Ordering::Less | Ordering::Equal => strictest,
            })
    };
    let scores: HashMap<SolvableId, Vec<Option<Best>>> = solvables
        .iter()
        .map(|solvable| {
            let scores = common.iter().map(|name| best(solvable, name));
            (*solvable, scores.collect())
        })
        .collect();
    solvables.sort_by(|a, b| {
        let of = |solvable| scores.get(solvable).into_iter().flatten();
        let by_scores = of(a).zip(of(b)).map(|(a, b)| match (a, b) {
            (Some(a), Some(b)) => a.order(b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        });
        let (a, b) = (provider.candidate(*a), provider.candidate(*b));
        let (a, b) = (&a.located, &b.located);
        by_scores
            .fold(Ordering::Equal, Ordering::then)
            .then_with(|| b.record.timestamp.cmp(&a.record.timestamp))
            .then_with(|| {
                (&a.record.build, &a.record.subdir).cmp(&(&b.record.build, &b.record.subdir))
            })
    });
}
