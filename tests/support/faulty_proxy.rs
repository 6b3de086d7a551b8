//! A proxy in front of a plain-HTTP registry that misbehaves at random, the same way for the same
//! seed and order of requests.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a slow answer stops in the middle.
const SLOW: Duration = Duration::from_millis(200);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// 429 that asks to come back at once, or in a second.
    Throttled,
    /// 500, 502 or 503.
    ServerError,
    /// The connection ends before the registry sees the request.
    Reset,
    /// The registry does what was asked, and the connection ends before it can say so.
    LostAnswer,
    /// Half of the answer's body, and the connection ends.
    CutBody,
    /// Half of the answer's body, and the rest later.
    SlowBody,
    /// A mount is answered with an upload session, or with 404.
    RefusedMount,
}

/// A running proxy; it is left alone when the test ends.
pub(crate) struct FaultyProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    faulty: AtomicBool,
    books: Mutex<Books>,
}

struct Books {
    random: fastrand::Rng,
    faults: BTreeMap<Fault, usize>,
    requests: usize,
    /// Manifests whose answer of success was passed on, by target.
    put: BTreeMap<String, usize>,
}

struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

impl FaultyProxy {
    /// Starts one that passes everything on as it is; see [`FaultyProxy::misbehave`].
    pub(crate) fn start(upstream: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            faulty: AtomicBool::new(false),
            books: Mutex::new(Books {
                random: fastrand::Rng::with_seed(seed),
                faults: BTreeMap::new(),
                requests: 0,
                put: BTreeMap::new(),
            }),
        });
        let state = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A connection that breaks is the client's to notice.
                thread::spawn(move || drop(serve(&state, client)));
            }
        });
        Self { address, shared }
    }

    /// Whether faults happen from now on.
    pub(crate) fn misbehave(&self, faulty: bool) {
        self.shared.faulty.store(faulty, Ordering::SeqCst);
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// How often what went wrong.
    pub(crate) fn faults(&self) -> BTreeMap<Fault, usize> {
        self.shared.books.lock().unwrap().faults.clone()
    }

    /// Requests since the start or the last call.
    pub(crate) fn take_requests(&self) -> usize {
        std::mem::take(&mut self.shared.books.lock().unwrap().requests)
    }

    /// How often the client was told that a manifest was put, by target, since the start or the
    /// last call.
    pub(crate) fn take_put(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.shared.books.lock().unwrap().put)
    }
}

impl Shared {
    /// What goes wrong with this request, and a number for its details.
    fn fault(&self, line: &str) -> (Option<Fault>, u8) {
        let mut books = self.books.lock().unwrap();
        books.requests += 1;
        let (dice, detail) = (books.random.u8(0..100), books.random.u8(..));
        if !self.faulty.load(Ordering::SeqCst) {
            return (None, detail);
        }
        let mount = line.contains("mount=");
        let fault = match dice {
            0..2 => Fault::Throttled,
            2..4 => Fault::ServerError,
            4..6 => Fault::Reset,
            6..8 => Fault::LostAnswer,
            8..11 if line.starts_with("GET ") => Fault::CutBody,
            11..14 if line.starts_with("GET ") => Fault::SlowBody,
            14..34 if mount => Fault::RefusedMount,
            _ => return (None, detail),
        };
        *books.faults.entry(fault).or_default() += 1;
        (Some(fault), detail)
    }
}

fn serve(shared: &Shared, client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let upstream = TcpStream::connect(shared.upstream)?;
    upstream.set_nodelay(true)?;
    let (mut from_client, mut to_client) = (BufReader::new(client.try_clone()?), client);
    let (mut from_registry, mut to_registry) = (BufReader::new(upstream.try_clone()?), upstream);
    while let Some(mut request) = read(&mut from_client, false)? {
        let line = request.head[0].clone();
        let (fault, detail) = shared.fault(&line);
        match fault {
            Some(Fault::Throttled) => {
                let wait = u8::from(detail.is_multiple_of(8));
                let answer = format!(
                    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {wait}\r\nContent-Length: 0\r\n\r\n"
                );
                to_client.write_all(answer.as_bytes())?;
                continue;
            }
            Some(Fault::ServerError) => {
                let status = [500, 502, 503][usize::from(detail) % 3];
                let answer = format!("HTTP/1.1 {status} Oops\r\nContent-Length: 0\r\n\r\n");
                to_client.write_all(answer.as_bytes())?;
                continue;
            }
            Some(Fault::Reset) => return Ok(()),
            Some(Fault::RefusedMount) if detail.is_multiple_of(2) => {
                let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                to_client.write_all(answer.as_bytes())?;
                continue;
            }
            Some(Fault::RefusedMount) => {
                let (path, _) = line.split_once('?').unwrap();
                request.head[0] = format!("{path} HTTP/1.1");
            }
            _ => {}
        }
        to_registry.write_all(&request.bytes())?;
        let Some(answer) = read(&mut from_registry, line.starts_with("HEAD "))? else {
            return Ok(());
        };
        let half = answer.body.len() / 2;
        let bytes = answer.bytes();
        let cut = bytes.len() - answer.body.len() + half;
        match fault {
            Some(Fault::LostAnswer) => return Ok(()),
            Some(Fault::CutBody) => return to_client.write_all(&bytes[..cut]),
            Some(Fault::SlowBody) => {
                to_client.write_all(&bytes[..cut])?;
                thread::sleep(SLOW);
                to_client.write_all(&bytes[cut..])?;
            }
            _ => to_client.write_all(&bytes)?,
        }
        if line.starts_with("PUT ") && line.contains("/manifests/") && answer.is_created() {
            let target = line.split(' ').nth(1).unwrap().to_owned();
            *shared.books.lock().unwrap().put.entry(target).or_default() += 1;
        }
    }
    Ok(())
}

impl Message {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.join("\r\n").into_bytes();
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn is_created(&self) -> bool {
        self.head[0].split(' ').nth(1) == Some("201")
    }
}

/// A request or an answer, none at the end of the connection.
fn read(from: &mut impl io::BufRead, headless: bool) -> io::Result<Option<Message>> {
    let mut head = Vec::new();
    let mut length = 0;
    for line in from.lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            assert!(
                !name.eq_ignore_ascii_case("transfer-encoding"),
                "lengths are known: {head:?}"
            );
        }
        head.push(line);
    }
    if head.is_empty() {
        return Ok(None);
    }
    let status = head[0].split(' ').nth(1).unwrap_or_default();
    let mut body = Vec::new();
    if !headless && status != "204" && status != "304" {
        body.resize(length, 0);
        from.read_exact(&mut body)?;
    }
    Ok(Some(Message { head, body }))
}
