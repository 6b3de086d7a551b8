//! httpbin.org for the tests that ask it: a server from an image, in a sandbox of its own, which the
//! tests of one instance reach under that name, and nothing else does.
//!
//! The tests' sandbox has a network of its own. Sockets listen there on the ports of HTTP and HTTPS, and
//! what connects to them is passed on from here to the server's Unix sockets. Neither sandbox has a
//! way to this machine or to anything else.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use tokio::net::{TcpListener as AsyncListener, TcpStream, UnixStream};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use super::certificate::Certified;
use super::output::{Captured, Text, tail};
use ohoci_compose::resolver::Resolver;
use ohoci_image::Reference;
use ohoci_node::LayerStore;
use ohoci_run::{Machine, Request, RootChoice, RunFailure, open_root, prepare};
use ohoci_sandbox::{Bind, Bubblewrap, Ended, Limiter, RemovedDirectory, Streams};
use ohoci_swebench::row::Row;
use ohoci_unpack::find_image;

/// What the server is known as in the tests' sandbox.
const HOSTS: &str = "httpbin.org www.httpbin.org";

/// Where a test is led to from there, which looks at no more than what it sends: the server is known by
/// that name, too.
const ELSEWHERE: &str = "www.google.co.uk";

/// The certificates that requests brought along as long as its tests asked httpbin.org, from the
/// repository: it knows no others where it is not told.
pub(super) const TRUSTED: &str = "requests/cacert.pem";

/// Repositories whose tests ask httpbin.org.
const REPOSITORIES: [&str; 1] = ["psf/requests"];

/// The ports, and the Unix sockets that the server has for them.
const PORTS: [u16; 2] = [80, 443];
const SOCKETS: [&str; 2] = ["http.sock", "https.sock"];

/// The directory that the server has these in, with its certificate and its key.
const DIRECTORY: &str = "/run/httpbin";

/// What is started where the image says nothing of it: that is how layers of `ohoci deps` come.
const PROGRAM: &str = "/openhands/bin/oh-httpbin";

/// How long the server may take until it has its sockets.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How often that is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// How long one that answers no longer may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Most connections of an instance at a time.
const MOST_CONNECTIONS: usize = 256;

/// Most that is kept of what the server writes, and how much of that is told, in bytes and lines.
const MOST_SAID: u64 = 1 << 20;
const TOLD: (usize, usize) = (20, 4 << 10);

/// The image of the server.
#[derive(Clone, Debug)]
pub(super) struct Httpbin {
    reference: Reference,
    digest: String,
    resolver: Arc<Resolver>,
    store: LayerStore,
    path: Option<std::ffi::OsString>,
}

/// What runs servers.
pub(super) struct Host<'a> {
    /// Runs sandboxes.
    pub(super) bubblewrap: &'a Bubblewrap,
    /// What they may use.
    pub(super) limiter: &'a Arc<Limiter>,
    /// Where they have their files, as long as they last.
    pub(super) scratch: &'a Path,
}

/// A server that runs. Dropping it ends it, too, but does not wait for its end.
pub(super) struct Server {
    /// Which it is, for logs.
    pub(super) name: String,
    /// The certificate of the authority that vouches for it, in PEM.
    pub(super) authority: String,
    sockets: Arc<[OwnedFd; 2]>,
    said: Captured,
    /// What waits for its end, until that is known.
    running: Option<JoinHandle<String>>,
    /// What passes connections on.
    passing: Arc<Mutex<JoinSet<()>>>,
    _files: RemovedDirectory,
}

impl Httpbin {
    /// The image that a reference leads to now.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub(super) async fn find(
        reference: &Reference,
        resolver: &Arc<Resolver>,
        store: &LayerStore,
        path: Option<std::ffi::OsString>,
    ) -> Result<Self, ohoci_store::Error> {
        let image = find_image(resolver, reference, None).await?;
        Ok(Self {
            digest: image.digest().to_string(),
            reference: reference.clone(),
            resolver: Arc::clone(resolver),
            store: store.clone(),
            path,
        })
    }

    /// The digest of the image: what the server answers may change verdicts.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the tests of an instance ask it.
    pub(super) fn is_for(row: &Row) -> bool {
        REPOSITORIES.contains(&row.repo.as_str())
    }

    /// Starts a server, and waits until it can be reached.
    ///
    /// # Errors
    /// Why it cannot be, with the end of what it wrote.
    pub(super) async fn start(&self, host: &Host<'_>) -> Result<Server, String> {
        let words = |error: &dyn std::fmt::Display| format!("cannot start httpbin: {error}");
        let files = RemovedDirectory::create_in(host.scratch).map_err(|error| words(&error))?;
        let (shared, own) = (files.path().join("shared"), files.path().join("own"));
        let certified = Certified::make(HOSTS).map_err(|error| words(&error))?;
        fs_err::create_dir(&shared)
            .and_then(|()| fs_err::create_dir(&own))
            .and_then(|()| fs_err::write(shared.join("certificate.pem"), &certified.certificate))
            .and_then(|()| fs_err::write(shared.join("key.pem"), &certified.key))
            .map_err(|error| words(&error))?;
        let machine = Machine {
            resolver: &self.resolver,
            store: Some(&self.store),
            scratch: host.scratch,
            path: self.path.as_deref(),
        };
        let failed = |failure: RunFailure| match failure.why() {
            Some(why) => format!("cannot start httpbin: {}: {why}", failure.what()),
            None => format!("cannot start httpbin: {}", failure.what()),
        };
        let choice = RootChoice::Image(self.reference.clone(), None);
        let root = open_root(&choice, None, machine).await.map_err(failed)?;
        let digest = root.digest().map(ToString::to_string);
        if digest.as_ref() != Some(&self.digest) {
            return Err(words(&format!(
                "{} is another image now than when the run began",
                self.reference
            )));
        }
        let request = Request {
            mounts: vec![Bind {
                source: shared.clone(),
                destination: DIRECTORY.into(),
                writable: true,
            }],
            temporary: vec!["/tmp".into()],
            ..Request::default()
        };
        let prepared = match prepare(&root, &request, &own) {
            Err(failure) if failure.is_mistake() => {
                let request = Request {
                    entrypoint: Some(PROGRAM.to_owned()),
                    ..request
                };
                prepare(&root, &request, &own)
            }
            prepared => prepared,
        }
        .map_err(failed)?;
        let group = host
            .limiter
            .group(Some(&root.written()))
            .map_err(|error| words(&error))?;
        let mut bubblewrap = host.bubblewrap.limited_by(Arc::new(group));
        if let Some(workspace) = root.workspace() {
            bubblewrap = bubblewrap.over(workspace);
        }
        let said = Captured::default();
        let sink = Box::new(Text::new(said.clone(), MOST_SAID));
        let mut running = tokio::spawn(async move {
            let (sandbox, command) = (prepared.sandbox, prepared.command);
            let ended = bubblewrap
                .run(&sandbox, &command, Streams::Into(sink), None)
                .await;
            // What it is mounted from lasts as long as it runs.
            drop(root);
            match ended {
                Ok(Ended::Exited(code)) => format!("httpbin has ended with exit code {code}"),
                Ok(Ended::Exceeded(exceeded)) => format!("httpbin has ended: {exceeded}"),
                Ok(Ended::TimedOut) => "httpbin has ended: its time was over".to_owned(),
                Err(error) => format!("httpbin was not run: {error}"),
            }
        });
        let sockets = match reachable(&shared, &mut running).await {
            Ok(sockets) => sockets,
            Err(why) => {
                running.abort();
                if !running.is_finished() {
                    let _ = running.await;
                }
                return Err(told(&why, &said));
            }
        };
        Ok(Server {
            name: format!("{} ({})", self.reference, self.digest),
            authority: certified.authority,
            sockets: Arc::new(sockets),
            said,
            running: Some(running),
            passing: Arc::default(),
            _files: files,
        })
    }
}

/// What `/etc/hosts` of the tests' sandbox has besides.
pub(super) fn hosts() -> String {
    format!("127.0.0.1\t{HOSTS} {ELSEWHERE}\n")
}

impl Server {
    /// What the tests run with: it is answered on the ports of HTTP and HTTPS by this server.
    pub(super) fn answering(&self, bubblewrap: &Bubblewrap) -> Bubblewrap {
        let (sockets, passing) = (Arc::clone(&self.sockets), Arc::clone(&self.passing));
        let runtime = Handle::current();
        bubblewrap.answered_on(&PORTS, move |listeners| {
            let mut passing = passing.lock();
            for (which, listener) in listeners.into_iter().enumerate() {
                passing.spawn_on(answer(listener, Arc::clone(&sockets), which), &runtime);
            }
        })
    }

    /// Why it runs no longer, if it does not: then tests have asked in vain.
    pub(super) async fn has_ended(&mut self) -> Option<String> {
        let mut running = self.running.take()?;
        let mut has_ended = running.is_finished();
        for socket in self.sockets.iter() {
            // Refused by a socket that nothing listens on any more; others may be busy.
            let refused = connect(socket).await.err();
            has_ended |= refused.is_some_and(|why| why.kind() == io::ErrorKind::ConnectionRefused);
        }
        if !has_ended {
            self.running = Some(running);
            return None;
        }
        let why = match timeout(END_LIMIT, &mut running).await {
            Ok(why) => why.unwrap_or_else(|error| error.to_string()),
            Err(_) => {
                self.running = Some(running);
                "httpbin answers no longer".to_owned()
            }
        };
        Some(told(&why, &self.said))
    }

    /// Ends it, and waits until it is gone and has left nothing.
    pub(super) async fn stop(mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
            let _ = running.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
        self.passing.lock().abort_all();
    }
}

fn told(why: &str, said: &Captured) -> String {
    let (lines, bytes) = TOLD;
    let said = tail(said.text().as_bytes(), lines, bytes);
    match said.is_empty() {
        true => why.to_owned(),
        false => format!("{why}: {said}"),
    }
}

/// Waits until the server has its sockets.
async fn reachable(
    directory: &Path,
    running: &mut JoinHandle<String>,
) -> Result<[OwnedFd; 2], String> {
    let deadline = Instant::now() + START_LIMIT;
    loop {
        let [first, second] = SOCKETS.map(|name| open_socket(directory, name));
        if let (Ok(first), Ok(second)) = (first, second)
            && connect(&first).await.is_ok()
            && connect(&second).await.is_ok()
        {
            return Ok([first, second]);
        }
        tokio::select! {
            ended = &mut *running => {
                return Err(ended.unwrap_or_else(|error| error.to_string()));
            }
            () = sleep(PAUSE) => {}
        }
        if Instant::now() > deadline {
            let waited = START_LIMIT.as_secs();
            return Err(format!(
                "httpbin has not opened {} and {} in {DIRECTORY} within {waited} s",
                SOCKETS[0], SOCKETS[1]
            ));
        }
    }
}

/// The socket itself: what the server may put in its place later, such as a link to one of this
/// machine's, is never asked.
fn open_socket(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let directory = rustix::fs::open(directory, flags | OFlags::DIRECTORY, Mode::empty())?;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(
        directory,
        name,
        flags | OFlags::NOFOLLOW,
        Mode::empty(),
        beneath,
    )?;
    match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
        FileType::Socket => Ok(found),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn connect(socket: &OwnedFd) -> io::Result<UnixStream> {
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
}

/// Passes on what connects to a port, until it is dropped.
async fn answer(listener: TcpListener, sockets: Arc<[OwnedFd; 2]>, which: usize) {
    let listener = listener
        .set_nonblocking(true)
        .and_then(|()| AsyncListener::from_std(listener));
    let Ok(listener) = listener else {
        return;
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                Ok((client, _)) => {
                    connections.spawn(pass_on(client, Arc::clone(&sockets), which));
                }
                // The client may be gone, or this process have too many files open.
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass_on(mut client: TcpStream, sockets: Arc<[OwnedFd; 2]>, which: usize) {
    let Some(socket) = sockets.get(which) else {
        return;
    };
    // A client whose server is gone sees its connection end.
    if let Ok(mut server) = connect(socket).await {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_puts_in_the_place_of_its_socket_is_not_asked() {
        let (directory, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _of_the_machine =
            std::os::unix::net::UnixListener::bind(outside.path().join("machine.sock")).unwrap();
        let link = directory.path().join("http.sock");
        fs_err::os::unix::fs::symlink(outside.path().join("machine.sock"), &link).unwrap();
        assert!(open_socket(directory.path(), "http.sock").is_err());
        fs_err::write(directory.path().join("https.sock"), "").unwrap();
        assert!(open_socket(directory.path(), "https.sock").is_err());
        fs_err::remove_file(&link).unwrap();
        let _own = std::os::unix::net::UnixListener::bind(&link).unwrap();
        let opened = open_socket(directory.path(), "http.sock").unwrap();
        fs_err::remove_file(&link).unwrap();
        fs_err::os::unix::fs::symlink(outside.path().join("machine.sock"), &link).unwrap();
        // Still that of the server.
        assert!(rustix::fs::fstat(&opened).unwrap().st_nlink == 0);
    }

    #[test]
    fn only_the_tests_of_some_repositories_ask_it() {
        let row = |repo: &str| {
            let rows = serde_json::json!([{
                "instance_id": "a__b-1", "repo": repo, "base_commit": "c", "patch": "",
                "test_patch": "", "FAIL_TO_PASS": "[]", "PASS_TO_PASS": "[]",
            }]);
            Row::from_json(rows.to_string().as_bytes())
                .unwrap()
                .remove(0)
        };
        assert!(Httpbin::is_for(&row("psf/requests")));
        assert!(!Httpbin::is_for(&row("pallets/flask")));
    }
}
