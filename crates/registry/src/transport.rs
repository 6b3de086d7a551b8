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
    /// Whether what pushing gains by is of no use.
    only_reads: bool,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Transport {
    /// A transport without connections.
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(settings, false)
    }

    /// One that remembers nothing that only pushing gains by.
    pub(crate) fn reading_only(settings: Settings) -> Self {
        Self::with(settings, true)
    }

    fn with(settings: Settings, only_reads: bool) -> Self {
        Self {
            policy: settings.retry,
            counters: Counters::default(),
            warnings: Warnings::default(),
            pool: ClientPool::new(settings.user_agent.clone(), settings.retry.connect_timeout),
            hosts: Mutex::default(),
            only_reads,
            settings,
        }
    }

    /// What is known about a host.
    pub(crate) fn host(&self, name: &str) -> Result<Arc<Host>, Error> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(name) {
            return Ok(Arc::clone(host));
        }
        let host = Host::new(
            name,
            (self.settings.hosts)(name),
            Arc::clone(&self.settings.token_memory),
        )?;
        let host = Arc::new(if self.only_reads {
            host.reading_only()
        } else {
            host
        });
        hosts.insert(name.to_owned(), Arc::clone(&host));
        Ok(host)
    }
}
