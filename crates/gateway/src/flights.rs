//! One flight for each thing that many ask for at once.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

/// What is under way, by its key. Who asks for it meanwhile gets the same answer.
#[derive(Debug)]
pub(crate) struct Flights<T>(Mutex<HashMap<String, Arc<OnceCell<T>>>>);

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// Does the work, unless it is under way; then its outcome is waited for. Where whoever does it
    /// goes away, another goes on from the beginning.
    pub(crate) async fn join(&self, key: &str, work: impl Future<Output = T>) -> T {
        let cell = Arc::clone(self.0.lock().entry(key.to_owned()).or_default());
        let outcome = cell.get_or_init(|| work).await.clone();
        let mut flights = self.0.lock();
        if flights
            .get(key)
            .is_some_and(|known| Arc::ptr_eq(known, &cell))
        {
            flights.remove(key);
        }
        outcome
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_who_ask_at_once_share_one_flight() {
        let flights = Arc::new(Flights::default());
        let done = Arc::new(AtomicUsize::new(0));
        let (open, gate) = tokio::sync::watch::channel(false);
        let all: Vec<_> = (0..1000)
            .map(|_| {
                let (flights, done, mut gate) =
                    (Arc::clone(&flights), Arc::clone(&done), gate.clone());
                tokio::spawn(async move {
                    let work = async {
                        gate.wait_for(|open| *open).await.unwrap();
                        done.fetch_add(1, Ordering::Relaxed)
                    };
                    flights.join("a", work).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        open.send(true).unwrap();
        for one in all {
            assert_eq!(one.await.unwrap(), 0);
        }
        assert_eq!(flights.count(), 0);
        assert_eq!(flights.join("a", async { 7 }).await, 7);
    }
}
