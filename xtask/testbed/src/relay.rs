//! A delaying, counting TCP relay in front of a plain-HTTP server on loopback.
//!
//! Every byte is held back by half the round-trip time in each direction (order kept, no bandwidth
//! limit) and a new connection pays one round trip before its first byte, so wall time divided by
//! round-trip time is the length of the critical path.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use crate::http::{Exchange, Found, Messages, status};

/// Bytes read at once, and how many such pieces may wait out their delay in one direction.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 1024;

/// Everything that passed a relay since it started or since it was last asked.
#[derive(Debug, Default, Clone)]
pub struct Traffic {
    /// The requests, in the order in which their heads were complete.
    pub exchanges: Vec<Exchange>,
    /// Connections that were opened.
    pub connections: usize,
    /// Bytes from clients to the server, heads included.
    pub up: u64,
    /// Bytes from the server to clients, heads included.
    pub down: u64,
}

impl Traffic {
    /// Method and path of every request, in order; see [`Exchange::line`].
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.exchanges.iter().map(Exchange::line).collect()
    }

    /// How many requests used this method.
    #[must_use]
    pub fn count(&self, method: &str) -> usize {
        self.exchanges
            .iter()
            .filter(|exchange| exchange.method == method)
            .count()
    }

    /// Body bytes that the server sent.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.exchanges
            .iter()
            .map(|exchange| exchange.received)
            .sum()
    }

    /// Body bytes that clients sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.exchanges.iter().map(|exchange| exchange.sent).sum()
    }
}

/// Counts round trips on the way to one or several servers, whatever is said there: each answer is one
/// round trip later than what the server was sent before it, and each request as late as the last answer
/// that the client was given. A new connection takes one of its own.
///
/// Work of the client is not counted as long as it is shorter than the relays' delay; otherwise what it
/// does side by side may seem to be one after the other.
#[derive(Debug, Clone, Default)]
pub struct RoundTrips(Arc<AtomicUsize>);

impl RoundTrips {
    /// Those since the start or the last call.
    #[must_use]
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }

    /// How many have passed when the client sends something.
    fn now(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// The client was given something that came after so many.
    fn given(&self, count: usize) {
        self.0.fetch_max(count, Ordering::SeqCst);
    }
}

/// A relay in front of one server; it stops when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    round_trip: Duration,
    round_trips: RoundTrips,
    started: Instant,
    stopped: AtomicBool,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// Exchanges by number, and the highest number given so far.
    exchanges: BTreeMap<usize, Exchange>,
    numbered: usize,
    connections: usize,
    up: u64,
    down: u64,
    /// Both ends of every open connection, by its number, and the highest number given so far.
    open: HashMap<usize, [TcpStream; 2]>,
    opened: usize,
}

impl Relay {
    /// Listens on a free loopback port and passes every connection on to `upstream`.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(upstream: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        Self::counting(upstream, round_trip, RoundTrips::default())
    }

    /// The same, with round trips counted together with those of other relays.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn counting(
        upstream: SocketAddr,
        round_trip: Duration,
        round_trips: RoundTrips,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            round_trip,
            round_trips,
            started: Instant::now(),
            stopped: AtomicBool::new(false),
            books: Mutex::default(),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, &shared))
        };
        Ok(Self {
            address,
            shared,
            acceptor: Some(acceptor),
        })
    }

    /// Where the relay listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What passed since the start or the last call, and starts counting anew.
    #[must_use]
    pub fn take_traffic(&self) -> Traffic {
        let mut books = self.shared.books();
        Traffic {
            exchanges: std::mem::take(&mut books.exchanges).into_values().collect(),
            connections: std::mem::take(&mut books.connections),
            up: std::mem::take(&mut books.up),
            down: std::mem::take(&mut books.down),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The acceptor sits in accept(2); one more connection wakes it. Should that fail, the
        // thread is left behind rather than waited for.
        if TcpStream::connect(self.address).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            // A panic of the acceptor has been reported by the thread itself.
            let _ = acceptor.join();
        }
        for pair in self.shared.books().open.values() {
            for stream in pair {
                // Already closed is what is wanted.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Shared {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock()
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let connection = {
                let mut books = shared.books();
                books.opened += 1;
                books.connections += 1;
                books.opened
            };
            // A connection that breaks is the client's to notice, as it is without a relay.
            let _ = serve(&shared, &client, connection);
            shared.books().open.remove(&connection);
        });
    }
}

fn serve(shared: &Arc<Shared>, client: &TcpStream, connection: usize) -> io::Result<()> {
    // The handshake: SYN there, SYN-ACK back.
    let connected = shared.round_trips.now() + 1;
    thread::sleep(shared.round_trip);
    let server = TcpStream::connect(shared.upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared
        .books()
        .open
        .insert(connection, [client.try_clone()?, server.try_clone()?]);

    let log = &Mutex::new(Log::new(connection));
    let server = &server;
    // How many round trips had passed when the latest was sent that the server has.
    let reached = &AtomicUsize::new(connected);
    thread::scope(|scope| {
        let log = || log.lock();
        scope.spawn(move || {
            let sent = |data: &[u8]| {
                log().up(shared, data);
                shared.round_trips.now().max(connected)
            };
            let arrived = |sent| {
                reached.fetch_max(sent, Ordering::SeqCst);
            };
            pass(shared, client, server, sent, arrived);
        });
        let sent = |data: &[u8]| {
            log().down(shared, data);
            reached.load(Ordering::SeqCst) + 1
        };
        pass(shared, server, client, sent, |count| {
            shared.round_trips.given(count);
        });
    });
    Ok(())
}

/// A piece on its way: when it is due, after how many round trips, and what it is.
type Piece = (Instant, usize, Vec<u8>);

/// Copies one direction until it ends, each piece half a round trip late. `see` says after how many
/// round trips a piece is sent, and `arrived` is told of that when it has arrived.
fn pass(
    shared: &Shared,
    mut from: &TcpStream,
    to: &TcpStream,
    mut see: impl FnMut(&[u8]) -> usize,
    arrived: impl Fn(usize) + Send,
) {
    let (sender, receiver) = sync_channel(PIECES);
    thread::scope(|scope| {
        scope.spawn(move || deliver(&receiver, to, &arrived));
        read_into(&mut from, &sender, shared.round_trip / 2, &mut see);
        drop(sender);
    });
}

fn read_into(
    from: &mut impl Read,
    sender: &SyncSender<Piece>,
    delay: Duration,
    see: &mut impl FnMut(&[u8]) -> usize,
) {
    let mut buffer = vec![0; PIECE];
    loop {
        let data = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(size) => buffer.get(..size).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let count = see(data);
        let piece = (Instant::now() + delay, count, data.to_vec());
        if sender.send(piece).is_err() {
            return;
        }
    }
}

fn deliver(receiver: &Receiver<Piece>, mut to: &TcpStream, arrived: &impl Fn(usize)) {
    for (due, count, data) in receiver {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Told before it is written, or the answer could be there first.
        arrived(count);
        if to.write_all(&data).is_err() {
            // Nobody reads any more; ending both halves also ends the thread that reads for us.
            let _ = to.shutdown(Shutdown::Both);
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// The parsers of one connection, and which exchanges its coming answers belong to.
#[derive(Debug)]
struct Log {
    connection: usize,
    requests: Messages,
    answers: Messages,
    /// The exchange whose request is being read.
    current: usize,
    /// The exchanges without a final answer, oldest first.
    waiting: VecDeque<usize>,
    /// The exchange whose answer is being read.
    answered: usize,
}

impl Log {
    fn new(connection: usize) -> Self {
        Self {
            connection,
            requests: Messages::requests(),
            answers: Messages::answers(),
            current: 0,
            waiting: VecDeque::new(),
            answered: 0,
        }
    }

    fn up(&mut self, shared: &Shared, data: &[u8]) {
        let found = self.requests.feed(data);
        let mut books = shared.books();
        books.up += data.len() as u64;
        for found in found {
            match found {
                Found::Head(lines) => {
                    let mut words = lines.first().map_or("", String::as_str).split(' ');
                    let method = words.next().unwrap_or_default().to_owned();
                    let path = words.next().unwrap_or_default().to_owned();
                    self.answers.expect(&method);
                    books.numbered += 1;
                    self.current = books.numbered;
                    self.waiting.push_back(self.current);
                    let exchange = Exchange {
                        at: shared.started.elapsed(),
                        connection: self.connection,
                        method,
                        path,
                        sent: 0,
                        status: 0,
                        received: 0,
                    };
                    books.exchanges.insert(self.current, exchange);
                }
                Found::Body(size) => {
                    if let Some(exchange) = books.exchanges.get_mut(&self.current) {
                        exchange.sent += size;
                    }
                }
            }
        }
    }

    fn down(&mut self, shared: &Shared, data: &[u8]) {
        let found = self.answers.feed(data);
        let mut books = shared.books();
        books.down += data.len() as u64;
        for found in found {
            match found {
                Found::Head(lines) => {
                    let status = status(&lines);
                    if (100..200).contains(&status) {
                        continue;
                    }
                    self.answered = self.waiting.pop_front().unwrap_or_default();
                    if let Some(exchange) = books.exchanges.get_mut(&self.answered) {
                        exchange.status = status;
                    }
                }
                Found::Body(size) => {
                    if let Some(exchange) = books.exchanges.get_mut(&self.answered) {
                        exchange.received += size;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok";

    /// A server that gives the same answer whenever something arrives.
    fn server() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut request = [0; 4096];
                    while let Ok(1..) = stream.read(&mut request) {
                        stream.write_all(ANSWER).unwrap();
                    }
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream, path: &str) {
        let request = format!("POST {path} HTTP/1.1\r\nContent-Length: 4\r\n\r\ndata");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; ANSWER.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, ANSWER);
    }

    #[test]
    fn every_exchange_is_in_the_books_and_taking_them_starts_anew() {
        let relay = Relay::start(server(), Duration::ZERO).unwrap();
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        ask(&mut stream, "/a?q=1");
        ask(&mut stream, "/b");
        let traffic = relay.take_traffic();
        assert_eq!(traffic.lines(), ["POST /a", "POST /b"]);
        assert_eq!((traffic.connections, traffic.sent()), (1, 8));
        assert!(
            traffic
                .exchanges
                .iter()
                .all(|exchange| exchange.status == 202 && exchange.received == 2)
        );
        ask(&mut stream, "/c");
        assert_eq!(relay.take_traffic().lines(), ["POST /c"]);
    }

    #[test]
    fn a_new_connection_and_each_exchange_pay_one_round_trip() {
        let round_trip = Duration::from_millis(30);
        let relay = Relay::start(server(), round_trip).unwrap();
        let start = Instant::now();
        let mut stream = TcpStream::connect(relay.address()).unwrap();
        ask(&mut stream, "/a");
        ask(&mut stream, "/b");
        assert!(
            start.elapsed() >= round_trip * 3,
            "never faster than the wire: {:?}",
            start.elapsed()
        );
    }

    #[test]
    fn round_trips_are_counted_along_the_longest_way() {
        let round_trips = RoundTrips::default();
        let relays = [(); 2].map(|()| {
            Relay::counting(server(), Duration::from_millis(30), round_trips.clone()).unwrap()
        });
        let mut streams = relays
            .each_ref()
            .map(|relay| TcpStream::connect(relay.address()).unwrap());
        // Side by side, both connections take one and both questions another.
        for stream in &mut streams {
            stream.write_all(b"GET /a HTTP/1.1\r\n\r\n").unwrap();
        }
        for stream in &mut streams {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
        }
        assert_eq!(round_trips.take(), 2);
    }
}
