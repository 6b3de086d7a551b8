//! How many bytes checkouts will have, by looks at the repository alone: its commits, how large its
//! packs are, and one work tree.

use std::cell::RefCell;
use std::collections::HashMap;

use super::checkout::{Part, parts};
use super::git::GitError;
use super::repository::{Repository, steps_of};

/// What is known of a repository.
#[derive(Debug)]
pub(crate) struct Estimate {
    /// Commits by name, and their parents by place.
    places: HashMap<String, usize>,
    names: Vec<String>,
    parents: Vec<Vec<usize>>,
    /// The bytes of all packs and loose objects.
    stored: u64,
    /// The bytes of one work tree, compressed.
    work_tree: u64,
    /// How many commits some can reach.
    behind: RefCell<HashMap<usize, usize>>,
}

/// A commit's checkout, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// The parts of its history that others share, each with the bytes that its share of the
    /// repository's commits comes to.
    pub parts: Vec<(Part, u64)>,
    /// The rest of its history, likewise, and a work tree.
    pub own: u64,
}

impl Estimate {
    /// Looks at a repository. The work tree is that of `commit`, as an archive.
    ///
    /// # Errors
    /// When git fails.
    pub(crate) fn of(repository: &Repository, commit: &str) -> Result<Self, GitError> {
        let run = |words: &[&str]| repository.run(words, b"");
        let (list, archive) = std::thread::scope(|scope| {
            let archive = scope.spawn(|| run(&["archive", "--format=tar.gz", "-1", commit]));
            let list = run(&["rev-list", "--all", "--parents", commit]);
            // A thread that panics has nothing to say of its size.
            (list, archive.join().unwrap_or_else(|_| Ok(Vec::new())))
        });
        let (list, archive) = (list?, archive?);
        let list = String::from_utf8_lossy(&list);
        let mut names = Vec::new();
        let mut places = HashMap::new();
        for line in list.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            places.insert(name.to_owned(), names.len());
            names.push(name.to_owned());
        }
        let parents = list
            .lines()
            .map(|line| {
                line.split(' ')
                    .skip(1)
                    .filter_map(|name| places.get(name).copied())
            })
            .map(Iterator::collect)
            .collect();
        let counts = run(&["count-objects", "-v"])?;
        let stored: u64 = String::from_utf8_lossy(&counts)
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| matches!(*name, "size" | "size-pack"))
            .filter_map(|(_, kibibytes)| kibibytes.parse::<u64>().ok())
            .sum();
        Ok(Self {
            places,
            names,
            parents,
            stored: stored.saturating_mul(1024),
            work_tree: archive.len() as u64,
            behind: RefCell::default(),
        })
    }

    /// A commit's checkout; `None` for one that the repository does not have.
    #[must_use]
    pub(crate) fn checkout(&self, commit: &str, steps: (usize, usize)) -> Option<Checkout> {
        let place = *self.places.get(commit)?;
        let first = |place: &usize| self.parents.get(*place)?.first().copied();
        let mut mainline: Vec<usize> = std::iter::successors(Some(place), first).collect();
        mainline.reverse();
        let mut before = 0;
        let mut sizes = Vec::new();
        let mut names = Vec::new();
        for step in steps_of(mainline.len(), steps) {
            let end = *mainline.get(step.checked_sub(1)?)?;
            let behind = self.behind(end);
            sizes.push(self.share(behind.saturating_sub(before)));
            names.push(self.names.get(end)?.clone());
            before = behind;
        }
        let rest = self.behind(place).saturating_sub(before);
        Some(Checkout {
            parts: parts(&names).into_iter().zip(sizes).collect(),
            own: self.share(rest) + self.work_tree,
        })
    }

    /// How many commits one can reach, itself included.
    fn behind(&self, commit: usize) -> usize {
        if let Some(known) = self.behind.borrow().get(&commit) {
            return *known;
        }
        let mut seen = vec![false; self.parents.len()];
        let mut waiting = vec![commit];
        let mut count = 0;
        while let Some(place) = waiting.pop() {
            match seen.get_mut(place) {
                Some(seen) if !*seen => *seen = true,
                _ => continue,
            }
            count += 1;
            waiting.extend(self.parents.get(place).into_iter().flatten());
        }
        self.behind.borrow_mut().insert(commit, count);
        count
    }

    /// What so many commits take of the repository's bytes, if all take the same.
    fn share(&self, commits: usize) -> u64 {
        let share = u128::from(self.stored) * commits as u128 / self.names.len().max(1) as u128;
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_share_the_repositorys_bytes() {
        // Newest first: d has the parents c and b, c and b have a.
        let names: Vec<String> = ["d", "c", "b", "a"].map(str::to_owned).into();
        let estimate = Estimate {
            places: names.iter().cloned().zip(0..).collect(),
            names,
            parents: vec![vec![1, 2], vec![3], vec![3], vec![]],
            stored: 4000,
            work_tree: 10,
            behind: RefCell::default(),
        };
        // The mainline is a, c, d; every second commit ends a part.
        let found = estimate.checkout("d", (2, 2)).unwrap();
        let sizes: Vec<u64> = found.parts.iter().map(|(_, size)| *size).collect();
        assert_eq!((sizes, found.own), (vec![2000], 2010));
        assert_eq!(estimate.checkout("a", (2, 2)).unwrap().own, 1010);
        assert_eq!(estimate.checkout("x", (2, 2)), None);
    }
}
