//! Several threads for what does not depend on each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Does something with each item, on several threads, the `largest` first, so that none of them is left alone at the end.
/// What that comes to is in the order of the items, whatever the number of threads.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    largest: impl Fn(&T) -> u64,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<(usize, &T)> = items.iter().enumerate().collect();
    order.sort_by_key(|(_, item)| std::cmp::Reverse(largest(item)));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    let run = || {
        while let Some((at, item)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let result = work(item);
            done.lock().push((*at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.clamp(1, items.len().max(1)) {
            scope.spawn(run);
        }
        run();
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_items_with_any_number_of_threads() {
        let items = [3_u64, 9, 1, 9, 0];
        for threads in [0, 1, 2, 16] {
            let doubled = side_by_side(&items, threads, |item| *item, |item| item * 2);
            assert_eq!(doubled, [6, 18, 2, 18, 0], "{threads}");
        }
        let none: [u64; 0] = [];
        assert!(side_by_side(&none, 2, |item| *item, |item| *item).is_empty());
    }

    #[test]
    fn the_largest_is_first() {
        let seen = Mutex::new(Vec::new());
        side_by_side(
            &[1_u64, 3, 2],
            1,
            |item| *item,
            |item| seen.lock().push(*item),
        );
        assert_eq!(*seen.lock(), [3, 2, 1]);
    }
}
