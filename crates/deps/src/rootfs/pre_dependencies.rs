//! What is configured before others: the packages that Debian calls essential, which all others count
//! on without saying so (Debian Policy 3.8), and before a package is unpacked those that it pre-depends
//! on (7.2); with what they need.

use std::collections::{BTreeMap, BTreeSet};

use super::error::RootFsError;
use crate::deb822::{Comments, Stanzas};
use crate::debian::deb::Deb;
use crate::debian::relation::{self, Alternatives};

/// Packages, and what they say of each other.
#[derive(Debug)]
pub(super) struct PreDependencies<'a> {
    debs: BTreeMap<&'a str, &'a Deb>,
    needs: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> PreDependencies<'a> {
    /// Among these packages; `needs` has what their dependencies came to.
    pub(super) fn new(debs: &'a [Deb], needs: &'a BTreeMap<&'a str, BTreeSet<&'a str>>) -> Self {
        let debs = debs.iter().map(|deb| (deb.name.as_str(), deb)).collect();
        Self { debs, needs }
    }

    /// The names of what is configured before a package is unpacked.
    ///
    /// # Errors
    /// When a field states no relationship.
    pub(super) fn of(&self, deb: &Deb) -> Result<Vec<String>, RootFsError> {
        let text = field(deb, "Pre-Depends");
        let groups = parse(deb, "Pre-Depends", &text)?;
        let mut open = Vec::new();
        for needed in self.needed(&deb.name) {
            if is_meant(needed, &groups)? {
                open.push(needed);
            }
        }
        // Where packages need each other in a circle, the package itself may be among them.
        let mut found = self.with_needed(open);
        found.retain(|name| *name != deb.name);
        Ok(found)
    }

    /// The names of what is essential.
    pub(super) fn essential(&self) -> Vec<String> {
        let is_essential = |deb: &&Deb| field(deb, "Essential").trim() == "yes";
        let essential = self.debs.values().copied().filter(is_essential);
        self.with_needed(essential.collect())
    }

    fn with_needed(&self, mut open: Vec<&'a Deb>) -> Vec<String> {
        let mut found = BTreeSet::new();
        while let Some(next) = open.pop() {
            if found.insert(&*next.name) {
                open.extend(self.needed(&next.name));
            }
        }
        found.into_iter().map(str::to_owned).collect()
    }

    fn needed(&self, name: &str) -> impl Iterator<Item = &'a Deb> {
        let needed = self.needs.get(name).into_iter().flatten();
        needed.filter_map(|name| self.debs.get(name).copied())
    }
}

/// Whether one of the alternatives is the package, or what it provides.
fn is_meant(deb: &Deb, groups: &[Alternatives<'_>]) -> Result<bool, RootFsError> {
    let is_named = |wanted: &str| {
        let mut relations = groups.iter().flat_map(|group| &group.0);
        relations.any(|relation| relation.name == wanted)
    };
    let text = field(deb, "Provides");
    let provided = parse(deb, "Provides", &text)?;
    let mut provided = provided.iter().flat_map(|group| &group.0);
    Ok(is_named(&deb.name) || provided.any(|one| is_named(one.name)))
}

fn field(deb: &Deb, name: &str) -> String {
    let stanza = Stanzas::new(&deb.control, Comments::Refused).next();
    let stanza = stanza.and_then(Result::ok);
    let value = stanza.as_ref().and_then(|stanza| stanza.get(name));
    value.unwrap_or_default().to_owned()
}

fn parse<'t>(deb: &Deb, field: &str, text: &'t str) -> Result<Vec<Alternatives<'t>>, RootFsError> {
    relation::parse(text)
        .map_err(|error| RootFsError::control(&deb.name, format!("{field}: {error}")))
}
