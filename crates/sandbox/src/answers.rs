//! Ports of a sandbox's own network on which something outside of it answers.

use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;

/// Most ports of a sandbox that are answered on.
pub(super) const MOST_PORTS: usize = 4;

/// The ports, and who answers.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) ports: Vec<u16>,
    take: Arc<dyn Fn(Vec<TcpListener>) + Send + Sync>,
}

impl Answers {
    pub(super) fn new(
        ports: &[u16],
        take: impl Fn(Vec<TcpListener>) + Send + Sync + 'static,
    ) -> Self {
        Self {
            ports: ports.to_vec(),
            take: Arc::new(take),
        }
    }

    /// Hands on the sockets, one for each port.
    pub(super) fn take(&self, listeners: Vec<TcpListener>) {
        (self.take)(listeners);
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}
