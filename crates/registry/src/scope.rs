//! Scopes: what a token permits (distribution, `docs/spec/auth/scope.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Actions on one repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    resource: String,
    actions: BTreeSet<String>,
}

impl Scope {
    /// Reading a repository.
    #[must_use]
    pub fn pull(repository: &str) -> Self {
        Self::repository(repository, &["pull"])
    }

    /// Reading and writing a repository.
    #[must_use]
    pub fn push(repository: &str) -> Self {
        Self::repository(repository, &["pull", "push"])
    }

    fn repository(repository: &str, actions: &[&str]) -> Self {
        Self {
            resource: format!("repository:{repository}"),
            actions: actions.iter().map(|&a| a.to_owned()).collect(),
        }
    }

    /// Reads `type:name:action,action`. The name itself may contain colons (`host:port/name`).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (resource, actions) = text.rsplit_once(':')?;
        if !resource.contains(':') || text.len() > 1024 {
            return None;
        }
        Some(Self {
            resource: resource.to_owned(),
            actions: actions
                .split(',')
                .filter(|a| !a.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    /// The repository it is about, when it is about one.
    pub(crate) fn repository_name(&self) -> Option<&str> {
        self.resource.strip_prefix("repository:")
    }

    /// Whether both are about the same thing.
    pub(crate) fn same_resource(&self, other: &Self) -> bool {
        self.resource == other.resource
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pull,push` is the order that every registry's own tools send.
        let actions: Vec<&str> = self.actions.iter().map(String::as_str).collect();
        write!(f, "{}:{}", self.resource, actions.join(","))
    }
}

/// Several scopes, at most one per resource, in the order in which they were first named.
///
/// The order matters: some token servers honour only the first.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScopeSet {
    order: Vec<String>,
    actions: BTreeMap<String, BTreeSet<String>>,
}

impl ScopeSet {
    /// A set with one scope.
    pub(crate) fn of(scope: Scope) -> Self {
        Self::from_iter([scope])
    }

    /// Adds a scope; actions on the same resource are joined.
    pub(crate) fn insert(&mut self, scope: Scope) {
        if !self.actions.contains_key(&scope.resource) {
            self.order.push(scope.resource.clone());
        }
        self.actions
            .entry(scope.resource)
            .or_default()
            .extend(scope.actions);
    }

    /// Adds all of another set.
    pub(crate) fn merge(&mut self, other: &Self) {
        for scope in other.iter() {
            self.insert(scope);
        }
    }

    /// Whether all of it is about reading.
    pub(crate) fn only_reads(&self) -> bool {
        let mut actions = self.actions.values().flatten();
        actions.all(|action| action == "pull")
    }

    /// Whether everything in `wanted` is in here.
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        wanted.actions.iter().all(|(resource, actions)| {
            self.actions
                .get(resource)
                .is_some_and(|have| have.is_superset(actions) || have.contains("*"))
        })
    }

    /// The scopes, one per resource.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.order.iter().map(|resource| Scope {
            resource: resource.clone(),
            actions: self.actions.get(resource).cloned().unwrap_or_default(),
        })
    }

    /// Only the scope that was named first.
    pub(crate) fn first_only(&self) -> Self {
        self.iter().take(1).collect()
    }

    /// How many resources there are.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

impl PartialEq for ScopeSet {
    fn eq(&self, other: &Self) -> bool {
        self.actions == other.actions
    }
}

impl Eq for ScopeSet {}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut set = Self::default();
        for scope in scopes {
            set.insert(scope);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(set: &ScopeSet) -> Vec<String> {
        set.iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn a_resource_is_named_once_and_the_first_stays_first() {
        let set = ScopeSet::from_iter([Scope::push("z/b"), Scope::pull("a"), Scope::pull("z/b")]);
        assert_eq!(
            texts(&set),
            ["repository:z/b:pull,push", "repository:a:pull"]
        );
        assert_eq!(texts(&set.first_only()), ["repository:z/b:pull,push"]);
    }

    #[test]
    fn covering() {
        let push = ScopeSet::of(Scope::push("a"));
        let pull = ScopeSet::of(Scope::pull("a"));
        assert!(push.covers(&pull) && !pull.covers(&push));
        assert!(pull.covers(&ScopeSet::default()));
        let any = ScopeSet::from_iter(Scope::parse("repository:a:*"));
        assert!(any.covers(&push));
    }

    #[test]
    fn names_may_contain_colons() {
        let scope = Scope::parse("repository:host:5000/a/b:push,pull").unwrap();
        assert_eq!(scope.repository_name(), Some("host:5000/a/b"));
        assert_eq!(scope.to_string(), "repository:host:5000/a/b:pull,push");
        for bad in ["", "pull", "repository:pull", &"x:y:".repeat(400)] {
            assert_eq!(Scope::parse(bad), None, "{bad}");
        }
    }
}
