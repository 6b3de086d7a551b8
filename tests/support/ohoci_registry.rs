//! ohoci's own registry in this process, and what it was asked.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ohoci_server::{Options, RequestRecord, Server};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::peer::{Access, Peer};

/// A running registry.
pub(crate) struct OhociRegistry {
    address: SocketAddr,
    directory: TempDir,
    log: Arc<Mutex<Vec<RequestRecord>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl OhociRegistry {
    pub(crate) fn start() -> Self {
        Self::watched(|_| ())
    }

    /// `watch` sees every request when its answer is known and before the client does; while it
    /// does not return, the client waits.
    pub(crate) fn watched(watch: impl Fn(&RequestRecord) + Send + Sync + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let records = Arc::clone(&log);
        let mut options = Options::new(([127, 0, 0, 1], 0).into(), directory.path());
        options.sync = false;
        options.drain = Duration::ZERO;
        options.log = Some(Arc::new(move |record| {
            records.lock().unwrap().push(record.clone());
            watch(record);
        }));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        // A runtime of its own, so that a watch that waits stops nothing else.
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(4)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let server = Server::bind(options).unwrap();
                tell.send(server.address()).unwrap();
                server
                    .run_until(async {
                        let _ = stopped.await;
                    })
                    .await
                    .unwrap();
            });
        });
        Self {
            address: told.recv().unwrap(),
            directory,
            log,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// `127.0.0.1:PORT`, the host part of a reference.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn peer(&self) -> Peer {
        let url = format!("http://{}", self.address);
        Peer::new(&url, Access::Anonymous, None, None)
    }

    /// Where its repositories lie: an OCI layout each.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The requests since the start or the last call, as method and target.
    pub(crate) fn take_requests(&self) -> Vec<(String, String)> {
        std::mem::take(&mut *self.log.lock().unwrap())
            .into_iter()
            .map(|record| (record.method, record.target))
            .collect()
    }
}

impl Drop for OhociRegistry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the registry failed");
        }
    }
}
