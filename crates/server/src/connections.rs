//! The open connections: what each waits for, which one has waited too long, which makes room.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How long a connection may wait for its client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// For a request's head, and the TLS handshake before the first one.
    pub(super) head: Duration,
    /// For the next request.
    pub(super) keep_alive: Duration,
    /// For the client to take any of an answer.
    pub(super) write_idle: Duration,
}

impl Deadlines {
    /// How often to look for connections that are overdue.
    fn interval(&self) -> Duration {
        let shortest = self.head.min(self.keep_alive).min(self.write_idle);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }
}

/// All open connections.
#[derive(Debug)]
pub(super) struct Connections {
    deadlines: Deadlines,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    next: u64,
    by_id: HashMap<u64, Arc<Connection>>,
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Connection {
    state: Mutex<State>,
    closing: Notify,
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the client has taken nothing of what is ready for it.
    stalled: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    New,
    /// A request's head, or a handshake, has begun to come.
    Head,
    /// A request is being answered.
    Request,
    /// A request was answered, and the next one may come.
    Idle,
}

/// A connection in the list; dropping it takes it out.
#[derive(Debug)]
pub(super) struct Listed {
    connections: Arc<Connections>,
    id: u64,
    connection: Arc<Connection>,
}

/// A request that is being answered; dropping it ends that.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Connections {
    pub(super) fn new(deadlines: Deadlines) -> Arc<Self> {
        Arc::new(Self {
            deadlines,
            live: Mutex::default(),
        })
    }

    /// Lists a connection that was just accepted.
    pub(super) fn list(self: &Arc<Self>) -> Listed {
        let connection = Arc::new(Connection {
            state: Mutex::new(State {
                phase: Phase::New,
                since: Instant::now(),
                stalled: None,
            }),
            closing: Notify::new(),
        });
        let mut live = self.live.lock();
        let id = live.next;
        live.next = id.wrapping_add(1);
        live.by_id.insert(id, Arc::clone(&connection));
        Listed {
            connections: Arc::clone(self),
            id,
            connection,
        }
    }

    /// Closes the connection that has waited longest without a request in it; whether there is one.
    pub(super) fn make_room(&self) -> bool {
        let mut live = self.live.lock();
        let waiting = live.by_id.iter().filter_map(|(id, connection)| {
            let state = connection.state();
            (state.phase != Phase::Request).then_some((state.since, *id))
        });
        let Some((_, id)) = waiting.min() else {
            return false;
        };
        if let Some(connection) = live.by_id.remove(&id) {
            connection.closing.notify_one();
        }
        true
    }

    /// Closes the connections that wait for a first or a next request, of which nothing has come.
    pub(super) fn close_waiting(&self) {
        for connection in self.live.lock().by_id.values() {
            if matches!(connection.state().phase, Phase::New | Phase::Idle) {
                connection.closing.notify_one();
            }
        }
    }

    /// Closes whatever is overdue, for as long as it is polled.
    pub(super) async fn watch(&self) {
        let mut ticks = tokio::time::interval(self.deadlines.interval());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for connection in self.live.lock().by_id.values() {
                if connection.is_overdue(&self.deadlines) {
                    connection.closing.notify_one();
                }
            }
        }
    }
}

impl Connection {
    /// Completes when the connection is to be closed.
    pub(super) async fn closing(&self) {
        self.closing.notified().await;
    }

    /// A request's head has come.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.enter(Phase::Request);
        Busy(Arc::clone(self))
    }

    /// Bytes have come.
    pub(super) fn received(&self) {
        let mut state = self.state.lock();
        match state.phase {
            // The time runs from the beginning: a handshake is part of the first head.
            Phase::New => state.phase = Phase::Head,
            Phase::Idle => {
                state.phase = Phase::Head;
                state.since = Instant::now();
            }
            Phase::Head | Phase::Request => {}
        }
    }

    /// The client has taken some of what was sent, or (`false`) there was no room for more.
    pub(super) fn sent(&self, some: bool) {
        let mut state = self.state.lock();
        state.stalled = if some {
            None
        } else {
            state.stalled.or_else(|| Some(Instant::now()))
        };
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = phase;
        state.since = Instant::now();
    }

    fn state(&self) -> State {
        *self.state.lock()
    }

    fn is_overdue(&self, deadlines: &Deadlines) -> bool {
        let state = self.state();
        let waited = |since: Instant, most: Duration| since.elapsed() >= most;
        match state.phase {
            Phase::New | Phase::Head => waited(state.since, deadlines.head),
            Phase::Idle => waited(state.since, deadlines.keep_alive),
            Phase::Request => state
                .stalled
                .is_some_and(|since| waited(since, deadlines.write_idle)),
        }
    }
}

impl Listed {
    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.connections.live.lock().by_id.remove(&self.id);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(Phase::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn deadlines() -> Deadlines {
        Deadlines {
            head: LONG,
            keep_alive: LONG,
            write_idle: LONG,
        }
    }

    #[test]
    fn room_is_made_by_whoever_waits_longest_and_never_by_a_request() {
        let connections = Connections::new(deadlines());
        let busy = connections.list();
        let _request = busy.connection().begin();
        let first = connections.list();
        let second = connections.list();
        second.connection().received();
        assert!(connections.make_room());
        assert!(!connections.live.lock().by_id.contains_key(&first.id));
        assert!(connections.make_room());
        assert!(!connections.make_room());
        assert!(connections.live.lock().by_id.contains_key(&busy.id));
    }

    #[test]
    fn each_phase_has_a_deadline_of_its_own() {
        let connections = Connections::new(deadlines());
        let listed = connections.list();
        let connection = listed.connection();
        let overdue = |change: fn(&mut Deadlines)| {
            let mut deadlines = deadlines();
            change(&mut deadlines);
            connection.is_overdue(&deadlines)
        };
        let head: fn(&mut Deadlines) = |d| d.head = Duration::ZERO;
        let keep_alive: fn(&mut Deadlines) = |d| d.keep_alive = Duration::ZERO;
        let write_idle: fn(&mut Deadlines) = |d| d.write_idle = Duration::ZERO;
        let all = || [head, keep_alive, write_idle].map(overdue);
        assert_eq!(all(), [true, false, false]);
        connection.received();
        assert_eq!(all(), [true, false, false]);
        let request = connection.begin();
        assert_eq!(all(), [false, false, false]);
        connection.sent(false);
        assert_eq!(all(), [false, false, true]);
        connection.sent(true);
        assert_eq!(all(), [false, false, false]);
        drop(request);
        assert_eq!(all(), [false, true, false]);
        connection.received();
        assert_eq!(all(), [true, false, false]);
    }
}
