//! The order in which what runs before unpacking is run.

use std::collections::{BTreeMap, BTreeSet};

/// Names of packages, each behind those that it needs. Where packages need each other in a circle,
/// those come first whose names do. `base-passwd` is before all others: what they run asks who users
/// are.
pub(super) fn order(needs: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut sorting = Sorting {
        needs,
        seen: BTreeSet::new(),
        sorted: Vec::new(),
    };
    let first = ["base-passwd"].into_iter();
    for name in first.chain(needs.keys().copied()) {
        if needs.contains_key(name) {
            sorting.visit(name);
        }
    }
    let mut sorted = sorting.sorted;
    // It needs libraries, which run nothing that asks.
    sorted.sort_by_key(|name| *name != "base-passwd");
    sorted.into_iter().map(str::to_owned).collect()
}

struct Sorting<'a> {
    needs: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    seen: BTreeSet<&'a str>,
    sorted: Vec<&'a str>,
}

impl<'a> Sorting<'a> {
    fn visit(&mut self, name: &'a str) {
        // With a stack of its own: a hostile lock may have chains of any length.
        let mut open: Vec<(&'a str, bool)> = vec![(name, false)];
        while let Some((name, is_done)) = open.pop() {
            if is_done {
                self.sorted.push(name);
            } else if self.seen.insert(name) {
                open.push((name, true));
                let below = self.needs.get(name).into_iter().flatten();
                open.extend(below.rev().map(|name| (*name, false)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_come_behind_what_they_need() {
        let needs = BTreeMap::from([
            ("a", BTreeSet::from(["c"])),
            ("base-passwd", BTreeSet::from(["c"])),
            ("c", BTreeSet::from(["b"])),
            ("b", BTreeSet::from(["a"])),
            ("d", BTreeSet::new()),
        ]);
        let order = order(&needs);
        assert_eq!(order[0], "base-passwd");
        assert_eq!(order.len(), 5);
        let at = |name: &str| order.iter().position(|one| one == name).unwrap();
        assert!(at("b") < at("c"), "{order:?}");
    }
}
