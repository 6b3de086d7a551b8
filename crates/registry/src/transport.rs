//! What all requests of a client share: settings, connections, statistics, and the registries
//! that it has met.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::error::Error;
use super::host::Host;
use super::settings::Settings;
use super::statistics::Counters;
use super::warning::Warnings;
use ohoci_http::{ClientPool, RetryPolicy};

/// What all requests of a client share.
#[derive(Debug)]
pub(crate) struct Transport {
    pub(crate) policy: RetryPolicy,
    pub(crate) counters: Counters,
    pub(crate) warnings: Warnings,
    pub(crate) pool: ClientPool,
    pub(crate) settings: Settings,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Transport {
    /// A transport without connections.
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            policy: settings.retry,
            counters: Counters::default(),
            warnings: Warnings::default(),
            pool: ClientPool::new(settings.user_agent.clone(), settings.retry.connect_timeout),
            hosts: Mutex::default(),
            settings,
        }
    }

    /// What is known about a host.
    pub(crate) fn host(&self, name: &str) -> Result<Arc<Host>, Error> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(name) {
            return Ok(Arc::clone(host));
        }
        let host = Arc::new(Host::new(
            name,
            (self.settings.hosts)(name),
            Arc::clone(&self.settings.token_memory),
        )?);
        hosts.insert(name.to_owned(), Arc::clone(&host));
        Ok(host)
    }
}
