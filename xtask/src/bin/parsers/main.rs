//! Reads made-up logs with ohoci's parsers and with upstream's, and compares what they find:
//! `parsers PYTHON COUNT SEED [FIXTURE]`.
//!
//! Each log is put together at random from what its parser looks for, and then cut, doubled, mixed
//! with another parser's or strewn with characters that are read in odd ways. With FIXTURE, some of
//! them are written down with what upstream found.

#![expect(
    clippy::print_stdout,
    reason = "the comparison is what this program prints"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a developer's tool, whose indices are its own"
)]

mod pieces;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use ohoci_swebench::log_parser::{Instance, LogParser, names};
use serde_json::{Value, json};

use pieces::{NAMES, NOISE, pieces};

/// Reads logs with the installed package.
const UPSTREAM: &str = include_str!("parsers.py");

/// How many of each parser's logs a fixture holds.
const KEPT: usize = 8;

/// Splitmix64: the same logs for the same seed, everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

fn line(random: &mut Random, parser: &str) -> String {
    let piece = random.of(pieces(parser));
    let mut line = String::new();
    for part in piece.chars() {
        match part {
            '@' => {
                line.push_str(random.of(&NAMES));
                if random.chance(2) {
                    line.push(' ');
                    line.push_str(random.of(&NAMES));
                }
            }
            '#' => line.push_str(&random.below(2000).to_string()),
            other => line.push(other),
        }
    }
    line
}

fn log(random: &mut Random, parser: &str, others: &[&str]) -> String {
    let mut log = String::new();
    for _ in 0..random.below(14) {
        let line = match random.below(12) {
            0 | 1 => random.of(&NOISE).to_owned(),
            2 => {
                let other = random.of(others);
                line(random, other)
            }
            _ => line(random, parser),
        };
        log.push_str(&line);
        log.push_str(if random.chance(15) { " " } else { "\n" });
    }
    let mut letters: Vec<char> = log.chars().collect();
    while random.chance(3) && !letters.is_empty() {
        let at = random.below(letters.len());
        match random.below(4) {
            0 => letters.truncate(at),
            1 => drop(letters.remove(at)),
            2 => letters.insert(
                at,
                *random.of(&[&'\n', &' ', &'\u{1c}', &'\u{85}', &'٣', &'\u{301}', &'<']),
            ),
            _ => {
                let end = (at + random.below(40)).min(letters.len());
                let doubled = letters[at..end].to_vec();
                letters.splice(at..at, doubled);
            }
        }
    }
    letters.into_iter().collect()
}

/// Instances by which parsers choose their format.
fn instance(random: &mut Random, parser: &str) -> (&'static str, &'static str) {
    match parser {
        "parse_log_jekyll" => {
            let ids = [
                "jekyll__jekyll-9141",
                "jekyll__jekyll-8761",
                "jekyll__jekyll-1",
            ];
            (random.of(&ids), "4.3")
        }
        "parse_log_immutable_js" => {
            let ids = [
                "immutable-js__immutable-js-2006",
                "immutable-js__immutable-js-2005",
                "x__x-1",
            ];
            (random.of(&ids), "4.0")
        }
        "parse_log_lighthouse" => ("x__x-1", random.of(&["9.5", "10.2", "5.0", "2.4", "new"])),
        "parse_log_next" => ("x__x-1", random.of(&["1.27", "1.20"])),
        _ => ("x__x-1", "1.0"),
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (python, count, seed, fixture) = match arguments.as_slice() {
        [python, count, seed] => (python, count.parse::<usize>()?, seed.parse()?, None),
        [python, count, seed, fixture] => (python, count.parse()?, seed.parse()?, Some(fixture)),
        _ => bail!("usage: parsers PYTHON COUNT SEED [FIXTURE]"),
    };
    let mut child = Command::new(python)
        .args(["-c", UPSTREAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {python}"))?;
    let mut input = child.stdin.take().context("no standard input")?;
    let mut answers = BufReader::new(child.stdout.take().context("no standard output")?).lines();
    let mut answer = || -> Result<Value> {
        let line = answers.next().context("the package ended")??;
        Ok(serde_json::from_str(&line)?)
    };
    let hello = answer()?;
    let all: Vec<&str> = names().collect();
    let mut known = all.clone();
    known.sort_unstable();
    ensure!(
        json!(known) == hello["names"],
        "upstream's names are {}",
        hello["names"]
    );
    let mut random = Random(seed);
    let mut kept: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let (mut differing, mut found, mut stopped) = (0, 0, 0);
    for number in 0..count {
        let parser = all[number % all.len()];
        let (id, version) = instance(&mut random, parser);
        let log = log(&mut random, parser, &all);
        let mut case = json!({"parser": parser, "id": id, "version": version, "log": log});
        writeln!(input, "{case}")?;
        let upstream = answer()?;
        let ours = LogParser::named(parser, Instance { id, version })
            .ok()
            .and_then(|parser| parser.parse(&log).ok());
        let ours = ours.map_or(Value::Null, |map| {
            map.iter()
                .map(|(test, status)| json!([test, status.word()]))
                .collect()
        });
        match upstream.as_array() {
            Some(tests) => found += tests.len(),
            None => stopped += 1,
        }
        if ours != upstream {
            differing += 1;
            if differing <= 20 {
                println!("{parser} {version} {log:?}\n  upstream: {upstream}\n  ohoci:    {ours}");
            }
        }
        let list = kept.entry(parser).or_default();
        let stops = list.iter().filter(|case| case["found"].is_null()).count();
        let worth = match upstream.as_array() {
            Some(tests) => tests.len() > 1,
            None => stops < 2,
        };
        if list.len() < KEPT && worth {
            case["found"] = upstream;
            list.push(case);
        }
    }
    drop(input);
    child.wait()?;
    println!(
        "{count} logs, {} parsers of swebench {}: {found} tests, {stopped} logs stop upstream's parser, {differing} differ",
        all.len(),
        hello["version"].as_str().unwrap_or_default()
    );
    if let Some(fixture) = fixture {
        let lines: Vec<String> = kept.values().flatten().map(Value::to_string).collect();
        fs_err::write(fixture, lines.join("\n") + "\n")?;
    }
    ensure!(differing == 0, "{differing} logs are read differently");
    Ok(())
}
