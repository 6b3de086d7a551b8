//! What a registry that composes costs: names that were never pushed, pulled through it, beside pulls of their
//! bases.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;
use testbed::{GeneratedBases, Relay};

use super::own_registry::OwnRegistry;
use super::process;
use super::table::bytes;
use super::tools::{self, renew};
use crate::bases::{noise, sha256};
use crate::wire::Connection;

/// Pull images that nobody pushed through `ohoci registry serve --compose`, from bases that are generated
/// as they are asked for: times beside direct pulls, rates, memory, and bytes of blobs.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many names are pulled.
    #[arg(long, default_value_t = 100_000)]
    names: usize,
    /// Round-trip times to add on both sides of the gateway, in milliseconds.
    #[arg(long, value_delimiter = ',', default_value = "0,20,100")]
    rtt: Vec<u64>,
    /// Pulls of each kind and round-trip time; the table has the medians.
    #[arg(long, default_value_t = 21)]
    runs: usize,
    /// Blobs that are streamed at once.
    #[arg(long, default_value_t = 200)]
    streams: usize,
    /// How long known manifests are asked for, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// The binary to measure; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the tables to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Connections that ask at the same time.
const CONNECTIONS: usize = 8;

/// Known names that the rate is measured with.
const KNOWN: usize = 1000;

/// Bytes of the layer: more than the buffers between a storage and a slow client hold.
const LAYER: usize = 16 << 20;

/// Measures and prints the tables.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.names == 0 || arguments.runs == 0 {
        bail!("--names and --runs must be at least 1");
    }
    let work = TempDir::with_prefix("bench-")?;
    let program = tools::ohoci_program(arguments.ohoci.as_deref())?;
    let bases = GeneratedBases::start(noise(1, LAYER));
    let scene = Scene {
        program,
        bases,
        work,
    };
    process::settle()?;
    let mut text = scene.times(&arguments.rtt, arguments.runs)?;
    text.push('\n');
    text.push_str(&scene.many(arguments)?);
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, &text)?;
    }
    Ok(())
}

struct Scene {
    program: PathBuf,
    bases: GeneratedBases,
    work: TempDir,
}

/// How long one name took.
#[derive(Default)]
struct Times {
    direct_manifest: Vec<Duration>,
    direct: Vec<Duration>,
    first: Vec<Duration>,
    known: Vec<Duration>,
}

impl Scene {
    /// A gateway with an empty cache, over the bases as they are at an address.
    fn gateway(&self, bases: SocketAddr, home: &Path) -> Result<OwnRegistry> {
        renew(home)?;
        let rules = format!(
            "[[rule]]\nname = \"oh/{{repository}}\"\nbase = \"{bases}/{{repository}}\"\n\
             bases = [\"{bases}/**\"]\ndeps = [\"{bases}/deps\"]\nfresh-seconds = 86400\n\
             env = {{ PATH = \"/openhands/bin:${{PATH}}\" }}\n"
        );
        let file = home.join("gateway.toml");
        fs_err::write(&file, rules)?;
        OwnRegistry::start(&self.program, home, [Path::new("--compose"), &file])
    }

    /// First and known pulls of manifests, beside direct pulls by turns.
    fn times(&self, rtts: &[u64], runs: usize) -> Result<String> {
        let mut text = format!(
            "One manifest, with this round trip on both sides of the gateway; medians of {runs}.\n\n\
             | RTT | direct: manifest | direct: manifest and config | gateway: first | over direct with config | \
             requests to the base's registry | gateway: known | over 1 RTT | over direct: manifest |\n\
             |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        );
        let mut next = 1_000_000;
        for &rtt in rtts {
            let round_trip = Duration::from_millis(rtt);
            let upstream = Relay::start(self.bases.address(), round_trip)?;
            // One of its own: ext4 is slow to make files for minutes after many were removed.
            let home = self.work.path().join(format!("times-{rtt}"));
            let gateway = self.gateway(upstream.address(), &home)?;
            let front = Relay::start(gateway.address(), round_trip)?;
            let mut direct = Connection::open(upstream.address())?;
            let mut through = Connection::open(front.address())?;
            // Connections and deps are known from then on, on both ways.
            manifest(&mut direct, "base/1")?;
            manifest(&mut through, "oh/base/1")?;
            let mut times = Times::default();
            let mut requests = 0;
            for _ in 0..runs {
                next += 1;
                let start = Instant::now();
                let document = manifest(&mut direct, &format!("base/{next}"))?;
                times.direct_manifest.push(start.elapsed());
                let config = document["config"]["digest"]
                    .as_str()
                    .context("a manifest without a config")?;
                let target = format!("/v2/base/{next}/blobs/{config}");
                direct.expect(200, "GET", &target, "", &[])?;
                times.direct.push(start.elapsed());

                next += 1;
                let name = format!("oh/base/{next}");
                let before = self.bases.asked().requests;
                for kind in [&mut times.first, &mut times.known] {
                    let start = Instant::now();
                    manifest(&mut through, &name)?;
                    kind.push(start.elapsed());
                }
                requests += self.bases.asked().requests - before;
            }
            let [direct_manifest, direct, first, known] = [
                times.direct_manifest,
                times.direct,
                times.first,
                times.known,
            ]
            .map(median);
            let _ = writeln!(
                text,
                "| {rtt} ms | {} | {} | {} | {} | {:.1} | {} | {} | {} |",
                milliseconds(direct_manifest),
                milliseconds(direct),
                milliseconds(first),
                over(first, direct, round_trip),
                requests as f64 / runs as f64,
                milliseconds(known),
                over(known, round_trip, round_trip),
                over(known, direct_manifest, Duration::ZERO),
            );
        }
        Ok(text)
    }

    /// Many names, their rate, and what they and blobs take.
    fn many(&self, arguments: &Arguments) -> Result<String> {
        let mut text = "| | |\n|---|---:|\n".to_owned();
        let mut row = |what: &str, figure: String| {
            let _ = writeln!(text, "| {what} | {figure} |");
        };
        let home = self.work.path().join("many");
        let gateway = self.gateway(self.bases.address(), &home)?;
        let address = gateway.address();
        let mut connection = Connection::open(address)?;
        manifest(&mut connection, "oh/base/0")?;
        row("memory at the start", bytes(gateway.memory("VmRSS")?));

        let before = self.bases.asked();
        let start = Instant::now();
        let digests = pull_all(address, arguments.names)?;
        let wall = start.elapsed();
        let asked = self.bases.asked();
        if asked.writes > 0 {
            bail!("{} requests would have written", asked.writes);
        }
        let names = arguments.names as f64;
        row("names pulled after 0 pushes", arguments.names.to_string());
        row("different digests among them", digests.to_string());
        row(
            "requests to the bases' registry for each",
            format!("{:.2}", (asked.requests - before.requests) as f64 / names),
        );
        row(
            "names a second, unknown before",
            format!("{:.0}", names / wall.as_secs_f64()),
        );
        row("memory then", bytes(gateway.memory("VmRSS")?));
        row("most memory until then", bytes(gateway.memory("VmHWM")?));

        let known = KNOWN.min(arguments.names);
        pull_all(address, known)?;
        let rate = rate(address, known, Duration::from_secs(arguments.seconds))?;
        row(
            &format!("known manifests a second, {CONNECTIONS} connections"),
            format!("{rate:.0}"),
        );

        // The one from before has been idle for longer than a server waits.
        let mut connection = Connection::open(gateway.address())?;
        let before = self.bases.asked();
        let target = format!("/v2/oh/base/1/blobs/{}", self.bases.layer());
        for _ in 0..100 {
            connection.expect(307, "GET", &target, "", &[])?;
        }
        let after = self.bases.asked();
        row(
            "redirects handed on",
            (after.redirects - before.redirects).to_string(),
        );
        let through =
            after.layer_bytes - before.layer_bytes + after.storage_bytes - before.storage_bytes;
        row("bytes of blobs that came through then", through.to_string());

        let peak = streams(&gateway, self.bases.layer(), arguments.streams)?;
        row(
            &format!(
                "most memory with {} slow streams of blobs besides",
                arguments.streams
            ),
            bytes(peak),
        );
        Ok(text)
    }
}

/// Pulls the manifests of this many names; how many different ones there were.
fn pull_all(address: SocketAddr, names: usize) -> Result<usize> {
    let next = AtomicUsize::new(0);
    let digests: Result<Vec<HashSet<String>>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> Result<HashSet<String>> {
                    let mut connection = Connection::open(address)?;
                    let mut digests = HashSet::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= names {
                            return Ok(digests);
                        }
                        let target = format!("/v2/oh/base/{number}/manifests/latest");
                        let answer = connection.expect(200, "GET", &target, "", &[])?;
                        digests.insert(sha256(&answer.body));
                    }
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(digests) => digests,
            Err(_) => bail!("a thread that pulls failed"),
        });
        joined.collect()
    });
    let all: HashSet<String> = digests?.into_iter().flatten().collect();
    Ok(all.len())
}

/// How many known manifests are answered in a second.
fn rate(address: SocketAddr, names: usize, time: Duration) -> Result<f64> {
    let start = Instant::now();
    let counts: Result<Vec<usize>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                scope.spawn(move || -> Result<usize> {
                    let mut connection = Connection::open(address)?;
                    let mut count = 0;
                    while start.elapsed() < time {
                        let number = (first * names / CONNECTIONS + count) % names;
                        let target = format!("/v2/oh/base/{number}/manifests/latest");
                        connection.expect(200, "GET", &target, "", &[])?;
                        count += 1;
                    }
                    Ok(count)
                })
            })
            .collect();
        let joined = workers.into_iter().map(|worker| match worker.join() {
            Ok(count) => count,
            Err(_) => bail!("a thread that pulls failed"),
        });
        joined.collect()
    });
    let count: usize = counts?.into_iter().sum();
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Opens so many streams of a blob that comes through, each read slowly; the most memory that the
/// gateway takes meanwhile.
fn streams(gateway: &OwnRegistry, layer: &str, count: usize) -> Result<u64> {
    let open = |number: usize| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(gateway.address())?;
        let head = format!(
            "GET /v2/oh/streamed/{number}/blobs/{layer} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    };
    let mut streams = (0..count).map(open).collect::<Result<Vec<_>>>()?;
    let mut piece = vec![0; 64 << 10];
    for stream in &mut streams {
        let read = stream.read(&mut piece)?;
        let head = String::from_utf8_lossy(piece.get(..read).unwrap_or_default());
        if !head.starts_with("HTTP/1.1 200") {
            bail!("a blob was answered with {:?}", head.lines().next());
        }
    }
    let mut peak = gateway.memory("VmRSS")?;
    for _ in 0..20 {
        for stream in &mut streams {
            let _ = stream.read(&mut piece)?;
        }
        thread::sleep(Duration::from_millis(100));
        peak = peak.max(gateway.memory("VmRSS")?);
    }
    Ok(peak)
}

fn manifest(connection: &mut Connection, name: &str) -> Result<Value> {
    let target = format!("/v2/{name}/manifests/latest");
    let answer = connection.expect(200, "GET", &target, "", &[])?;
    Ok(serde_json::from_slice(&answer.body)?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// How much longer a time is, in round trips and what is left of them.
fn over(time: Duration, than: Duration, round_trip: Duration) -> String {
    let more = (time.as_secs_f64() - than.as_secs_f64()) * 1000.0;
    if round_trip.is_zero() {
        return format!("{more:.2} ms");
    }
    let trip = round_trip.as_secs_f64() * 1000.0;
    // No zero is negative.
    let trips = (more / trip).round() + 0.0;
    format!("{trips:.0} RTT {:+.2} ms", more - trips * trip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_told_in_round_trips_and_the_rest() {
        let ms = Duration::from_millis;
        assert_eq!(over(ms(65), ms(40), ms(20)), "1 RTT +5.00 ms");
        assert_eq!(over(ms(19), ms(20), ms(20)), "0 RTT -1.00 ms");
        assert_eq!(over(ms(3), ms(1), ms(0)), "2.00 ms");
        assert_eq!(median(vec![ms(3), ms(1), ms(2)]), ms(2));
    }
}
