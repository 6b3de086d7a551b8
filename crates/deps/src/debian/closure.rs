//! Which packages a request comes to: the closure over `Depends` and `Pre-Depends`.
//!
//! Nothing is guessed. A dependency that several packages could satisfy is satisfied by one that is
//! there for another reason, or by the one that the recipe chooses; otherwise it is an error. The
//! result does not depend on the order of anything.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Index, Package};
use super::problem::Problem;
use super::relation::{self, Alternatives, Relation};

/// What is asked for, as a recipe says it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request<'a> {
    /// The packages.
    pub packages: BTreeSet<&'a str>,
    /// Packages and virtual packages that count as there, whatever version is wanted.
    pub exclude: BTreeSet<&'a str>,
    /// Which package to take, by [`Alternatives::key`].
    pub choose: BTreeMap<&'a str, &'a str>,
}

/// What a request came to.
#[derive(Clone, Debug)]
pub(crate) struct Closure<'a> {
    /// The packages by name, with the names of those that their dependencies came to.
    pub packages: BTreeMap<&'a str, Selected<'a>>,
    /// Choices that made a difference.
    pub used_choices: BTreeSet<&'a str>,
    /// Exclusions that made a difference.
    pub used_exclusions: BTreeSet<&'a str>,
}

/// A package of a closure.
#[derive(Clone, Debug)]
pub(crate) struct Selected<'a> {
    /// The package.
    pub package: Package<'a>,
    /// The packages that its dependencies came to.
    pub needs: BTreeSet<&'a str>,
}

/// Resolves a request. The packages in `below` are there already, in layers below, and are neither
/// resolved nor returned.
///
/// # Errors
/// Everything that stands in the way, at once.
pub(crate) fn resolve<'a>(
    index: &Index<'a>,
    request: &Request<'a>,
    below: &BTreeMap<&'a str, Package<'a>>,
) -> Result<Closure<'a>, Vec<Problem>> {
    let mut resolver = Resolver::new(index, request, below);
    for name in &request.packages {
        match index.get(name) {
            Some(package) => resolver.select(package),
            None => resolver.not_found(name),
        }
    }
    resolver.settle();
    resolver.check_conflicts();
    resolver.finish()
}

/// A dependency that is not satisfied yet.
struct Pending<'a> {
    of: &'a str,
    alternatives: Alternatives<'a>,
}

struct Resolver<'r, 'a> {
    index: &'r Index<'a>,
    request: &'r Request<'a>,
    below: &'r BTreeMap<&'a str, Package<'a>>,
    selected: BTreeMap<&'a str, &'r Package<'a>>,
    /// Who serves as a virtual package.
    providers: BTreeMap<&'a str, Vec<&'r Package<'a>>>,
    pending: Vec<Pending<'a>>,
    used_choices: BTreeSet<&'a str>,
    problems: Vec<Problem>,
}

impl<'r, 'a> Resolver<'r, 'a> {
    fn new(
        index: &'r Index<'a>,
        request: &'r Request<'a>,
        below: &'r BTreeMap<&'a str, Package<'a>>,
    ) -> Self {
        let mut providers: BTreeMap<&str, Vec<&Package<'_>>> = BTreeMap::new();
        for package in index.packages() {
            for provided in &package.provides {
                providers.entry(provided.name).or_default().push(package);
            }
        }
        Self {
            index,
            request,
            below,
            selected: BTreeMap::new(),
            providers,
            pending: Vec::new(),
            used_choices: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    fn not_found(&mut self, name: &str) {
        let names = self.index.packages().map(|package| package.name);
        let hint = ohoci_config::error::did_you_mean(name, names);
        let providers = self.providers.get(name).map(|all| names_of(all));
        self.problems.push(Problem::NotFound {
            package: name.to_owned(),
            providers: providers.unwrap_or_default(),
            hint,
        });
    }

    fn select(&mut self, package: &'r Package<'a>) {
        if self.below.contains_key(package.name)
            || self.selected.insert(package.name, package).is_some()
        {
            return;
        }
        for field in package.depends {
            match relation::parse(field) {
                Ok(groups) => {
                    self.pending
                        .extend(groups.into_iter().map(|alternatives| Pending {
                            of: package.name,
                            alternatives,
                        }));
                }
                Err(error) => self.problems.push(Problem::Broken {
                    package: package.name.to_owned(),
                    why: error.to_string(),
                }),
            }
        }
    }

    /// Satisfies dependencies until none is left that can be.
    fn settle(&mut self) {
        loop {
            // First everything that leaves no choice: it may settle what would leave one.
            let mut open = std::mem::take(&mut self.pending);
            let mut waiting = Vec::new();
            while !open.is_empty() {
                for pending in open {
                    if self.is_satisfied(&pending.alternatives) {
                        continue;
                    }
                    match self.candidates(&pending.alternatives).as_slice() {
                        [] => self.unsatisfied(&pending),
                        [only] => self.select(only),
                        _ => waiting.push(pending),
                    }
                }
                open = std::mem::take(&mut self.pending);
            }
            waiting.retain(|pending| !self.is_satisfied(&pending.alternatives));
            if waiting.is_empty() {
                return;
            }
            // Decisions are taken side by side, so that none depends on the order.
            let mut undecided = Vec::new();
            let mut decided = Vec::new();
            for pending in waiting {
                match self.choice(&pending) {
                    Some(package) => decided.push(package),
                    None => undecided.push(pending),
                }
            }
            if decided.is_empty() {
                for pending in undecided {
                    self.undecided(&pending);
                }
                return;
            }
            for package in decided {
                self.select(package);
            }
            self.pending.append(&mut undecided);
        }
    }

    /// The package that the recipe chooses.
    fn choice(&mut self, pending: &Pending<'a>) -> Option<&'r Package<'a>> {
        let key = pending.alternatives.key();
        let (key, chosen) = self.request.choose.get_key_value(key.as_str())?;
        let candidates = self.candidates(&pending.alternatives);
        let package = candidates
            .into_iter()
            .find(|candidate| candidate.name == *chosen)?;
        self.used_choices.insert(key);
        Some(package)
    }

    /// Every package that could satisfy one of the alternatives, by name. A package that is called
    /// as a relation says stands before all that merely serve as it.
    fn candidates(&self, alternatives: &Alternatives<'_>) -> Vec<&'r Package<'a>> {
        let mut found: BTreeMap<&str, &'r Package<'a>> = BTreeMap::new();
        for relation in &alternatives.0 {
            match self.index.get(relation.name) {
                Some(package) if package.is(relation) => {
                    found.insert(package.name, package);
                    if alternatives.0.len() == 1 {
                        break;
                    }
                }
                _ => {}
            }
            for provider in self.providers.get(relation.name).into_iter().flatten() {
                if provider.provides_for(relation) {
                    found.insert(provider.name, provider);
                }
            }
        }
        found.into_values().collect()
    }

    fn there(&self) -> impl Iterator<Item = &Package<'a>> {
        self.selected.values().copied().chain(self.below.values())
    }

    /// The first package that is there and satisfies one of the alternatives.
    fn satisfier(&self, alternatives: &Alternatives<'_>) -> Option<&'a str> {
        alternatives.0.iter().find_map(|relation| {
            let named = (self.selected.get(relation.name).copied())
                .or_else(|| self.below.get(relation.name));
            named
                .filter(|package| package.is(relation))
                .map(|package| package.name)
                .or_else(|| {
                    self.providers
                        .get(relation.name)?
                        .iter()
                        .find(|package| {
                            (self.selected.contains_key(package.name)
                                || self.below.contains_key(package.name))
                                && package.provides_for(relation)
                        })
                        .map(|package| package.name)
                })
        })
    }

    /// The exclusion that makes one of the alternatives count as there.
    fn exclusion(&self, alternatives: &Alternatives<'_>) -> Option<&'a str> {
        self.request.exclude.iter().copied().find(|excluded| {
            alternatives.0.iter().any(|relation| {
                relation.name == *excluded
                    || self.index.get(excluded).is_some_and(|package| {
                        package
                            .provides
                            .iter()
                            .any(|provided| provided.name == relation.name)
                    })
            })
        })
    }

    fn is_satisfied(&self, alternatives: &Alternatives<'_>) -> bool {
        self.satisfier(alternatives).is_some() || self.exclusion(alternatives).is_some()
    }

    fn unsatisfied(&mut self, pending: &Pending<'_>) {
        let there = pending
            .alternatives
            .0
            .iter()
            .filter_map(|relation| {
                let package = self.index.get(relation.name)?;
                Some(format!("{} {}", package.name, package.version))
            })
            .collect();
        self.problems.push(Problem::Unsatisfied {
            package: pending.of.to_owned(),
            dependency: pending.alternatives.to_string(),
            there,
        });
    }

    fn undecided(&mut self, pending: &Pending<'_>) {
        let key = pending.alternatives.key();
        let chosen = self.request.choose.get(key.as_str());
        self.problems.push(Problem::Undecided {
            package: pending.of.to_owned(),
            dependency: pending.alternatives.to_string(),
            candidates: names_of(&self.candidates(&pending.alternatives)),
            chosen: chosen.map(|chosen| (*chosen).to_owned()),
            key,
        });
    }

    fn check_conflicts(&mut self) {
        let mut found = Vec::new();
        for package in self.there() {
            for (field, text) in ["Conflicts", "Breaks"].into_iter().zip(package.excludes) {
                let groups = match relation::parse(text) {
                    Ok(groups) => groups,
                    Err(error) => {
                        found.push(Problem::Broken {
                            package: package.name.to_owned(),
                            why: error.to_string(),
                        });
                        continue;
                    }
                };
                for relation in groups.iter().flat_map(|group| &group.0) {
                    found.extend(self.excluded_by(package, relation).map(|with| {
                        Problem::Conflict {
                            package: package.name.to_owned(),
                            field,
                            relation: relation.to_string(),
                            with: format!("{} {}", with.name, with.version),
                        }
                    }));
                }
            }
        }
        self.problems.append(&mut found);
    }

    /// What is there and may not be beside `package`. A package never excludes itself, even when
    /// it serves as what it excludes: that is how Debian says that there can be only one.
    fn excluded_by<'s>(
        &'s self,
        package: &'s Package<'a>,
        relation: &'s Relation<'_>,
    ) -> impl Iterator<Item = &'s Package<'a>> {
        self.there()
            .filter(move |other| other.name != package.name && other.satisfies(relation))
    }

    fn finish(self) -> Result<Closure<'a>, Vec<Problem>> {
        if !self.problems.is_empty() {
            let mut problems = self.problems;
            problems.sort();
            problems.dedup();
            return Err(problems);
        }
        let mut used_exclusions = BTreeSet::new();
        let mut packages = BTreeMap::new();
        for package in self.selected.values() {
            let mut needs = BTreeSet::new();
            let groups = package
                .depends
                .iter()
                .flat_map(|field| relation::parse(field));
            for alternatives in groups.flatten() {
                match self.satisfier(&alternatives) {
                    Some(name) => drop(needs.insert(name)),
                    None => used_exclusions.extend(self.exclusion(&alternatives)),
                }
            }
            needs.remove(package.name);
            let package = (*package).clone();
            packages.insert(package.name, Selected { package, needs });
        }
        Ok(Closure {
            packages,
            used_choices: self.used_choices,
            used_exclusions,
        })
    }
}

fn names_of(packages: &[&Package<'_>]) -> Vec<String> {
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name).collect();
    names.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
