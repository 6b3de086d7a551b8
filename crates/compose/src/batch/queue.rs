//! Which image comes next: fair between the registries that bases come from, and within what is
//! left of their budgets.

use std::collections::{BTreeMap, VecDeque};

use ohoci_registry::RateLimit;

/// What waits, by the host its base is on.
#[derive(Debug)]
pub struct Queue<T> {
    hosts: BTreeMap<String, Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    items: VecDeque<T>,
    under_way: u64,
    stopped: Option<String>,
}

/// How many pulls are left untouched at the end of a budget, for whoever else shares it.
const RESERVE: u64 = 2;

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds an image whose base is on `host`.
    pub(crate) fn push(&mut self, host: &str, item: T) {
        self.hosts
            .entry(host.to_owned())
            .or_insert_with(|| Waiting {
                items: VecDeque::new(),
                under_way: 0,
                stopped: None,
            })
            .items
            .push_back(item);
    }

    /// The next image: of the host that has the fewest under way. `limits` is what hosts said of
    /// their budgets; a host whose budget is spent is stopped for good.
    pub(crate) fn next(&mut self, limits: &BTreeMap<String, RateLimit>) -> Option<(String, T)> {
        for (host, waiting) in &mut self.hosts {
            if waiting.stopped.is_none()
                && let Some(limit) = limits.get(host)
                && let Some(remaining) = limit.remaining
                && remaining <= waiting.under_way.saturating_add(RESERVE)
            {
                waiting.stopped = Some(spent(host, remaining, limit));
            }
        }
        let (host, waiting) = self
            .hosts
            .iter_mut()
            .filter(|(_, waiting)| waiting.stopped.is_none() && !waiting.items.is_empty())
            .min_by_key(|(_, waiting)| waiting.under_way)?;
        let item = waiting.items.pop_front()?;
        waiting.under_way += 1;
        Some((host.clone(), item))
    }

    /// Starts nothing of this host any more.
    pub(crate) fn stop(&mut self, host: &str, why: &str) {
        if let Some(waiting) = self.hosts.get_mut(host) {
            waiting.stopped.get_or_insert_with(|| why.to_owned());
        }
    }

    /// An image of this host is done, one way or the other.
    pub(crate) fn done(&mut self, host: &str) {
        if let Some(waiting) = self.hosts.get_mut(host) {
            waiting.under_way = waiting.under_way.saturating_sub(1);
        }
    }

    /// Everything that was never started, and why: a spent budget, or the run was ended.
    pub(crate) fn drain(self) -> Vec<(T, Option<String>)> {
        self.hosts
            .into_values()
            .flat_map(|waiting| {
                let why = waiting.stopped;
                waiting
                    .items
                    .into_iter()
                    .map(move |item| (item, why.clone()))
            })
            .collect()
    }
}

fn spent(host: &str, remaining: u64, limit: &RateLimit) -> String {
    let of = limit
        .limit
        .map_or(String::new(), |all| format!(" of {all}"));
    let window = limit.window.map_or(String::new(), |seconds| {
        format!(
            "; it counts the pulls of the last {}",
            if seconds % 3600 == 0 {
                format!("{} hours", seconds / 3600)
            } else {
                format!("{seconds} seconds")
            }
        )
    });
    format!("{host} allows {remaining}{of} more pulls{window}; run again with --resume later")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(remaining: u64) -> BTreeMap<String, RateLimit> {
        BTreeMap::from([(
            "docker.io".to_owned(),
            RateLimit {
                limit: Some(100),
                remaining: Some(remaining),
                window: Some(21600),
            },
        )])
    }

    #[test]
    fn hosts_take_turns() {
        let mut queue = Queue::default();
        for item in 0..3 {
            queue.push("a", item);
        }
        queue.push("b", 10);
        let none = BTreeMap::new();
        let order: Vec<i32> = std::iter::from_fn(|| queue.next(&none))
            .map(|(_, item)| item)
            .collect();
        assert_eq!(order, [0, 10, 1, 2]);
    }

    #[test]
    fn a_spent_budget_stops_its_host_and_no_other() {
        let mut queue = Queue::default();
        queue.push("docker.io", 1);
        queue.push("docker.io", 2);
        queue.push("quay.io", 3);
        assert_eq!(queue.next(&limit(50)), Some(("docker.io".to_owned(), 1)));
        // One is under way and two are kept in reserve.
        assert_eq!(queue.next(&limit(3)), Some(("quay.io".to_owned(), 3)));
        assert_eq!(queue.next(&limit(3)), None);
        let left = queue.drain();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].0, 2);
        let why = left[0].1.as_deref().unwrap();
        assert!(why.contains("3 of 100") && why.contains("6 hours"), "{why}");
    }
}
