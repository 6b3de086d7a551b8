//! The packages of all channels that an environment may be made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::listed::Listed;
use crate::match_spec::name_in;
use crate::record::Located;
use crate::virtual_package::is_virtual;

/// What channels have of some packages, by name.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// The channels in the order of their priority.
    channels: Vec<BTreeMap<String, Vec<Shelved>>>,
}

/// A package on a shelf.
#[derive(Clone, Debug)]
struct Shelved {
    stem: String,
    package: Result<Arc<Located>, String>,
}

impl Shelf {
    /// An empty shelf for packages of so many channels.
    #[must_use]
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![BTreeMap::new(); channels],
        }
    }

    /// Adds what a channel lists of a name. Channels are counted in the order of their priority. Gives the names
    /// of the packages that these need.
    pub fn add(&mut self, channel: usize, name: &str, listed: Vec<Listed>) -> BTreeSet<String> {
        let needed = listed
            .iter()
            .filter_map(|listed| listed.package.as_ref().ok())
            .flat_map(|package| &package.record.depends)
            .map(|text| name_in(text).to_ascii_lowercase())
            .filter(|name| !name.is_empty() && !is_virtual(name))
            .collect();
        if let Some(channel) = self.channels.get_mut(channel) {
            let shelved = listed.into_iter().map(|listed| Shelved {
                stem: listed.stem,
                package: listed.package.map(Arc::new),
            });
            channel.entry(name.to_owned()).or_default().extend(shelved);
        }
        needed
    }

    /// The package with a file of that name, which is without ending, of the first channel that has it.
    ///
    /// # Errors
    /// When the channel contradicts itself there.
    pub(crate) fn package(&self, name: &str, stem: &str) -> Result<Option<Arc<Located>>, String> {
        let mut all = self.channels.iter().filter_map(|channel| channel.get(name));
        let found = all.find_map(|listed| listed.iter().find(|one| one.stem == stem));
        found.map(|shelved| shelved.package.clone()).transpose()
    }

    /// The packages of a name that can be used, each with the number of its channel.
    pub(crate) fn packages(&self, name: &str) -> impl Iterator<Item = (usize, &Arc<Located>)> {
        let channels = self.channels.iter().enumerate();
        let of_name = channels.filter_map(move |(at, channel)| Some((at, channel.get(name)?)));
        of_name.flat_map(|(at, listed)| {
            let packages = listed.iter().filter_map(|one| one.package.as_ref().ok());
            packages.map(move |package| (at, package))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repodata::Repodata;

    #[test]
    fn what_packages_need_is_told_but_for_what_machines_have() {
        let json = r#"{"packages": {"a-1-0.tar.bz2": {"name": "a", "version": "1", "build": "0",
            "depends": ["B >=1", "c[version='>1']", "__glibc >=2.17", "main::d 1 *_0"]}}}"#;
        let list = Repodata::read(json.as_bytes().to_vec(), "one", "linux-64").unwrap();
        let mut shelf = Shelf::new(1);
        let needed = shelf.add(0, "a", list.packages("a", &|_| true));
        assert!(needed.iter().eq(["b", "c", "d"]), "{needed:?}");
        assert_eq!(shelf.packages("a").count(), 1);
        assert_eq!(shelf.packages("b").count(), 0);
    }
}
