//! What conda's packages mean to the solver.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use rattler_conda_version::Version;
use resolvo::utils::{Pool, VersionSet};
use resolvo::{
    Candidates, Condition, ConditionId, HintDependenciesAvailable, Interner, NameId, SolvableId,
    StringId, VersionSetId, VersionSetUnionId,
};

use super::ChannelPriority;
use super::candidate::{Best, Candidate};
use crate::match_spec::MatchSpec;
use crate::record::Located;
use crate::shelf::Shelf;
use crate::virtual_package::{Target, is_virtual};

/// How many versions of a package a message names.
const MOST_VERSIONS: usize = 5;

/// What is asked of a package, known by its words.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    spec: Arc<MatchSpec>,
    words: Arc<str>,
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Asked {}

impl std::hash::Hash for Asked {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.words.hash(state);
    }
}

impl VersionSet for Asked {
    type V = Candidate;
}

/// What there is of a name.
#[derive(Debug, Default)]
struct Known {
    candidates: Candidates,
    /// Those of them that are not excluded.
    usable: Vec<SolvableId>,
}

/// What a package says of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Relations {
    /// What has to be there.
    pub(super) needs: Vec<VersionSetId>,
    /// What has to be so if it is there.
    pub(super) constrains: Vec<VersionSetId>,
}

/// Tells the solver which packages there are.
pub(super) struct Provider<'a> {
    pool: Pool<Asked>,
    shelf: &'a Shelf,
    virtual_packages: Vec<Arc<Located>>,
    pub(super) priority: ChannelPriority,
    known: RefCell<HashMap<NameId, Rc<Known>>>,
    /// The best version that something asked for can have.
    best: RefCell<HashMap<VersionSetId, Option<Best>>>,
    /// Dependencies by their words: many packages have the same.
    read: RefCell<HashMap<String, Result<VersionSetId, StringId>>>,
    rounds: Cell<u64>,
}

impl<'a> Provider<'a> {
    /// Knows the packages of a shelf and of a machine, and gives up after so many rounds.
    pub(super) fn new(
        shelf: &'a Shelf,
        target: &Target,
        priority: ChannelPriority,
        rounds: u64,
    ) -> Self {
        Self {
            pool: Pool::default(),
            shelf,
            virtual_packages: target.packages().into_iter().map(Arc::new).collect(),
            priority,
            known: RefCell::default(),
            best: RefCell::default(),
            read: RefCell::default(),
            rounds: Cell::new(rounds),
        }
    }

    /// What is asked for, as the solver counts it.
    pub(super) fn version_set(&self, spec: MatchSpec) -> VersionSetId {
        let name = self.pool.intern_package_name(spec.name());
        let asked = Asked {
            words: spec.condition().into(),
            spec: Arc::new(spec),
        };
        self.pool.intern_version_set(name, asked)
    }

    /// The package that was chosen; `None` where it is one without files.
    pub(super) fn package(&self, solvable: SolvableId) -> Option<Located> {
        let located = &self.candidate(solvable).located;
        (!is_virtual(&located.record.name)).then(|| (**located).clone())
    }

    pub(super) fn candidate(&self, solvable: SolvableId) -> &Candidate {
        &self.pool.resolve_solvable(solvable).record
    }

    /// The name of the package that something is asked of.
    pub(super) fn asked_name(&self, asked: VersionSetId) -> &str {
        let name = self.pool.resolve_version_set_package_name(asked);
        self.pool.resolve_package_name(name)
    }

    /// What there is of a name, each package once however often it is asked for.
    fn known(&self, name: NameId) -> Rc<Known> {
        if let Some(known) = self.known.borrow().get(&name) {
            return Rc::clone(known);
        }
        let known = Rc::new(self.looked_up(name));
        self.known.borrow_mut().insert(name, Rc::clone(&known));
        known
    }

    fn looked_up(&self, name: NameId) -> Known {
        let text = self.pool.resolve_package_name(name);
        let of_machine = self.virtual_packages.iter();
        let of_machine = of_machine.filter(|package| package.record.name == *text);
        let mut known = Known::default();
        let mut first_channel = None;
        for (channel, located) in of_machine
            .map(|package| (0, package))
            .chain(self.shelf.packages(text))
        {
            let version: Result<Version, _> = located.record.version.parse();
            let why = match &version {
                Err(error) => Some(format!("its version cannot be read: {error}")),
                Ok(_) => {
                    let first = *first_channel.get_or_insert(channel);
                    let is_behind = self.priority == ChannelPriority::Strict && first != channel;
                    is_behind.then(|| {
                        format!(
                            "a channel before {} has packages of that name",
                            located.channel
                        )
                    })
                }
            };
            let candidate = Candidate {
                located: Arc::clone(located),
                version: version.unwrap_or_else(|_| Version::major(0)),
                channel,
            };
            let solvable = self.pool.intern_solvable(name, candidate);
            known.candidates.candidates.push(solvable);
            match why {
                Some(why) => {
                    let why = self.pool.intern_string(why);
                    known.candidates.excluded.push((solvable, why));
                }
                None => known.usable.push(solvable),
            }
        }
        known.candidates.hint_dependencies_available = HintDependenciesAvailable::All;
        known
    }

    /// What may be chosen of a name; `None` where there is nothing of it.
    pub(super) fn candidates(&self, name: NameId) -> Option<Candidates> {
        let known = self.known(name);
        (!known.candidates.candidates.is_empty()).then(|| known.candidates.clone())
    }

    /// Whether the solver may go on for another round.
    pub(super) fn begin_round(&self) -> bool {
        let left = self.rounds.get().checked_sub(1);
        self.rounds.set(left.unwrap_or_default());
        left.is_some()
    }

    /// Whether a package is one that is asked for.
    pub(super) fn takes(&self, asked: VersionSetId, solvable: SolvableId) -> bool {
        let candidate = self.candidate(solvable);
        let located = &candidate.located;
        let spec = &self.pool.resolve_version_set(asked).spec;
        spec.takes(&located.record, &candidate.version, &located.channel)
    }

    /// The best version that something asked for can have.
    pub(super) fn best(&self, asked: VersionSetId) -> Option<Best> {
        if let Some(known) = self.best.borrow().get(&asked) {
            return known.clone();
        }
        let known = self.known(self.pool.resolve_version_set_package_name(asked));
        let of_it = known.usable.iter();
        let of_it = of_it.filter(|solvable| self.takes(asked, **solvable));
        let best = Best::of(of_it.map(|solvable| self.candidate(*solvable)));
        self.best.borrow_mut().insert(asked, best.clone());
        best
    }

    /// What a package says of others, or why that cannot be read.
    pub(super) fn relations(&self, solvable: SolvableId) -> Result<Relations, StringId> {
        let record = &self.candidate(solvable).located.record;
        let all = |texts: &[String]| {
            let all = texts.iter().map(|text| self.relation(text));
            all.collect::<Result<Vec<_>, _>>()
        };
        Ok(Relations {
            needs: all(&record.depends)?,
            constrains: all(&record.constrains)?,
        })
    }

    fn relation(&self, text: &str) -> Result<VersionSetId, StringId> {
        if let Some(known) = self.read.borrow().get(text) {
            return *known;
        }
        let read = MatchSpec::parse(text)
            .map(|spec| self.version_set(spec))
            .map_err(|error| self.pool.intern_string(error.to_string()));
        self.read.borrow_mut().insert(text.to_owned(), read);
        read
    }
}

impl Interner for Provider<'_> {
    type NameId = NameId;
    type SolvableId = SolvableId;

    fn display_solvable(&self, solvable: SolvableId) -> impl fmt::Display + '_ {
        self.candidate(solvable)
    }

    fn display_merged_solvables(&self, solvables: &[SolvableId]) -> impl fmt::Display + '_ {
        let all = solvables.iter().map(|solvable| self.candidate(*solvable));
        let mut versions: Vec<&Version> = all.map(|candidate| &candidate.version).collect();
        versions.sort();
        versions.dedup();
        let name = solvables
            .first()
            .map(|solvable| self.candidate(*solvable).located.record.name.as_str());
        let mut words: Vec<String> = versions.iter().map(ToString::to_string).collect();
        if words.len() > MOST_VERSIONS {
            let last = words.pop();
            words.truncate(MOST_VERSIONS - 2);
            words.push("…".to_owned());
            words.extend(last);
        }
        format!("{} {}", name.unwrap_or_default(), words.join(" | "))
    }

    fn display_name(&self, name: NameId) -> impl fmt::Display + '_ {
        self.pool.resolve_package_name(name)
    }

    fn display_version_set(&self, version_set: VersionSetId) -> impl fmt::Display + '_ {
        &*self.pool.resolve_version_set(version_set).words
    }

    fn display_string(&self, string: StringId) -> impl fmt::Display + '_ {
        self.pool.resolve_string(string)
    }

    fn version_set_name(&self, version_set: VersionSetId) -> NameId {
        self.pool.resolve_version_set_package_name(version_set)
    }

    fn solvable_name(&self, solvable: SolvableId) -> NameId {
        self.pool.resolve_solvable(solvable).name
    }

    fn version_sets_in_union(
        &self,
        union: VersionSetUnionId,
    ) -> impl Iterator<Item = VersionSetId> {
        self.pool.resolve_version_set_union(union)
    }

    fn resolve_condition(&self, condition: ConditionId) -> Condition {
        self.pool.resolve_condition(condition).clone()
    }
}
