//! Files over plain HTTP, with the faults of real mirrors.

#![expect(
    clippy::unwrap_used,
    reason = "what tests are made of either works or fails the test"
)]

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// A server that runs until the process ends.
#[derive(Clone, Debug)]
pub struct FileServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Vec<Fault>>,
    requests: Vec<Request>,
}

/// What goes wrong with a request. Each happens once, in the order in which they were added.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The connection ends behind that many bytes of the body.
    Cut(usize),
    /// This status, without a body.
    Status(u16),
    /// The whole file, whatever part of it was asked for.
    NoRange,
}

/// A request that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The path, without the slash in front.
    pub path: String,
    /// The value of `Range`.
    pub range: Option<String>,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
}

impl FileServer {
    /// Serves files by their path, without a slash in front.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(Mutex::new(State {
                files,
                ..State::default()
            })),
        };
        let state = Arc::clone(&server.state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A client that goes away is no fault of ours.
                std::thread::spawn(move || drop(converse(&connection, &state)));
            }
        });
        server
    }

    /// Where it is, with a slash behind.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Lets something go wrong with the next request for a path.
    pub fn fault(&self, path: &str, fault: Fault) {
        let faults = &mut self.state.lock().faults;
        faults.entry(path.to_owned()).or_default().push(fault);
    }

    /// Removes a file.
    pub fn remove(&self, path: &str) {
        self.state.lock().files.remove(path);
    }

    /// Adds files, or replaces them.
    pub fn put(&self, files: BTreeMap<String, Vec<u8>>) {
        self.state.lock().files.extend(files);
    }

    /// What was asked for since it was last asked.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().requests)
    }
}

fn converse(mut connection: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    loop {
        let Some(first) = lines.next() else {
            return Ok(());
        };
        let first = first?;
        let target = first.split(' ').nth(1).unwrap_or_default();
        let mut request = Request {
            // The one character in the names of packages that clients escape.
            path: target.trim_start_matches('/').replace("%2B", "+"),
            range: None,
            authorization: None,
        };
        for line in lines.by_ref() {
            let line = line?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap_or_default();
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = Some(value.to_owned()),
                "authorization" => request.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        let (fault, file) = {
            let mut state = state.lock();
            state.requests.push(request.clone());
            let faults = state.faults.get_mut(&request.path);
            let fault = faults
                .filter(|faults| !faults.is_empty())
                .map(|faults| faults.remove(0));
            (fault, state.files.get(&request.path).cloned())
        };
        let status = match (fault, &file) {
            (Some(Fault::Status(status)), _) => Some(status),
            (_, None) => Some(404),
            _ => None,
        };
        if let Some(status) = status {
            write!(
                connection,
                "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"
            )?;
            continue;
        }
        let file = file.unwrap_or_default();
        let start = request
            .range
            .filter(|_| !matches!(fault, Some(Fault::NoRange)))
            .and_then(|range| {
                let start = range.strip_prefix("bytes=")?.strip_suffix('-')?;
                start.parse::<usize>().ok()
            });
        let body = file.get(start.unwrap_or(0)..).unwrap_or_default();
        match start {
            None => write!(connection, "HTTP/1.1 200 OK\r\n")?,
            Some(start) => write!(
                connection,
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n",
                file.len().saturating_sub(1),
                file.len()
            )?,
        }
        write!(connection, "Content-Length: {}\r\n\r\n", body.len())?;
        if let Some(Fault::Cut(length)) = fault {
            connection.write_all(body.get(..length).unwrap_or(body))?;
            return connection.shutdown(std::net::Shutdown::Both);
        }
        connection.write_all(body)?;
    }
}
