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

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use ohoci_swebench::log_parser::{Instance, LogParser, names};
use serde_json::{Value, json};

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

/// What names of tests are made of, odd things among them.
const NAMES: [&str; 22] = [
    "adds",
    "test_a",
    "a b",
    "Suite",
    "x::y",
    "m.C",
    "tests/unit/a.c",
    "é",
    "a\u{1c}b",
    "n\u{a0}m",
    "[3]",
    "(12ms)",
    "(3 ms)",
    "12ms",
    "passed",
    "FAILED",
    "Error",
    "a: b",
    "- c",
    "1)",
    "²",
    "_",
];

/// What stands between the lines of any log.
const NOISE: [&str; 16] = [
    "",
    " ",
    "\t",
    "warning: x",
    "    at run (a.js:1:2)",
    "Error: y",
    "{",
    "}",
    "<p>",
    "</p>",
    "\u{1b}[32mok\u{1b}[0m",
    "+ cd /testbed",
    "ok",
    "FAIL",
    "PASS",
    "\u{2028}",
];

/// The pieces of a parser's logs; `@` stands for a name, `#` for a number.
fn pieces(parser: &str) -> &'static [&'static str] {
    match parser {
        "parse_log_redis" => &[
            "[ok]: @ (# ms)",
            "[ok]: @",
            "[err]: @ in tests/@.tcl",
            "[err]: @",
            "[skip]: @",
            "[ignore]: @",
            "[ok]:@",
            " [ok]: @ (#s)",
            "[exception]: @",
        ],
        "parse_log_jq" => &[
            "PASS: @",
            "FAIL: @",
            " PASS: @",
            "PASS:@",
            "XFAIL: @",
            "FAIL:\u{1f}@",
        ],
        "parse_log_doctest" => &[
            "<doctest binary=\"x\">",
            "</doctest>",
            "<TestSuite>",
            "</TestSuite>",
            "<TestCase name=\"@\">",
            "<TestCase>",
            "</TestCase>",
            "<SubCase name=\"@\">",
            "<SubCase>",
            "</SubCase>",
            "<Expression success=\"true\"/>",
            "<Expression success=\"false\"/>",
            "<Expression/>",
            "<doctest><TestCase name=\"a\"><SubCase name=\"b\"><Expression success=\"true\"/></SubCase><SubCase name=\"c\"><Expression success=\"false\"/></SubCase></TestCase></doctest>",
            "<doctest><T><TestCase name=\"a\"><SubCase><SubCase name=\"&amp;\"><Expression/></SubCase></SubCase></TestCase></T></doctest>",
        ],
        "parse_log_micropython_test" => &[
            "pass  @", "FAIL  @", "skip  @", "pass @", "lost  @", " skip\t@",
        ],
        "parse_log_googletest" => &[
            "[       OK ] @ (# ms)",
            "[  FAILED  ] @ (# ms)",
            "[ RUN      ] @",
            "3: [ OK ] @ (#)",
            "[OK] @ (x) (y)",
            "[  FAILED  ] @",
        ],
        "parse_log_gotest" => &[
            "--- PASS: @ (0.#s)",
            "    --- FAIL: @ (0.#s)",
            "--- SKIP: @ (0.00s)",
            "--- PASS: @",
            "=== RUN @",
            "--- PASS: @ (a) (b)",
        ],
        "parse_log_maven" => &[
            "+ mvn test -Dtest=@ -pl x",
            "+ mvn -Dtest=A#b",
            "[INFO] BUILD SUCCESS",
            "[INFO] BUILD FAILURE",
            "BUILD SUCCESS now",
            "-Dtest=a -Dtest=b",
            "-Dtest= @",
            "x BUILD SUCCESS -Dtest=y BUILD FAILURE",
        ],
        "parse_log_ant" => &[
            "    [junit] [PASS] @",
            "[junit] [FAIL] @",
            "[junit]  [ERR]  @",
            "[junit] PASS @",
            "[junit] [PASS] ",
        ],
        "parse_log_gradle_custom" => &[
            "a.B > @ PASSED",
            "a.B > @ FAILED",
            "a.B > two",
            "PASSED",
            "FAILED",
            "> Task :test FAILED",
            "@ > @",
            "@  PASSED",
            "x PASSED now",
        ],
        "parse_log_phpunit" => &[
            "@ (Tests\\@)",
            "Suite (A)",
            " ✔ @",
            " ✘ @",
            " ↩ @",
            "✔@",
            "é (b)",
            "² (b)",
            "Suite (A) ",
            " ∅ @",
        ],
        "parse_log_minitest" => &[
            "A#@. x = 0.01 s = .",
            "A#@. x = 0.01 s = F",
            "@. a=E b",
            "@. a=.F",
            "@. nothing",
            "a. b. c=d.E.F",
        ],
        "parse_log_cucumber" => &[
            "features/@ ....",
            "features/@ ..F",
            "@ .",
            "@ F",
            "a .. b ..F x",
            "x.y .F",
        ],
        "parse_log_jekyll" => &[
            "A#@. x = 0.01 s = .",
            "A#@. x = 0.01 s = F",
            "features/@ ....",
            "features/@ ..F",
        ],
        "parse_log_ruby_unit" => &[
            "test: @: .: (0.1)",
            "  test: @:\tF",
            "@: E",
            "@: Ok",
            "@: O",
            "a: b: F²",
            "a: F_",
            "a: F-",
            "test: : .",
        ],
        "parse_log_rspec_transformed_json" => &[
            "@ - passed",
            "@ - failed",
            "@ - pending",
            "a - passed - failed",
            " - passed",
        ],
        "parse_log_cargo" => &[
            "test @ ... ok",
            "test a::b ... ok",
            "test a::b ... FAILED",
            "test c ... ignored",
            "test  d  ...  ok",
            "test e ... o²",
        ],
        "parse_log_jest" | "parse_log_immutable_js" => &[
            "  ✓ @ (# ms)",
            "✕ @",
            "○ @",
            "✓ @ (#s)",
            "✓@",
            "[PASSED] @",
            "[FAILED] @",
            "✓  @ ",
            "  ✓ (3 ms)",
        ],
        "parse_log_jest_json" => &[
            "[PASSED] @",
            "[FAILED] @",
            " [PASSED] @ ",
            "[TODO] @",
            "[PASSED]@",
        ],
        "parse_log_vitest" => &[
            " ✓ @ #ms",
            " × @",
            " ↓ @ [skipped]",
            "✓ @ #",
            "✓ @ # m",
            "✓ 3ms",
            " ✓ @ (2 tests) 3ms",
        ],
        "parse_log_karma" => &[
            "Starting browser Chrome",
            "  @",
            "    @",
            "      ✔ @",
            "      ✖ @",
            " ✔ @",
            "SUMMARY:",
            "   @",
            "✔ @",
            "\u{1c}\u{1d}@",
        ],
        "parse_log_tap" => &[
            "ok # @",
            "not ok # @",
            "    ok # @",
            "ok @",
            "ok #",
            "ok # @ # SKIP",
        ],
        "parse_log_highlightjs" => &[
            "  @",
            "    @",
            "    ✓ @ (#ms)",
            "    ✔ @",
            "    #) @",
            "  # passing (1s)",
            "  # failing",
            "✓ @ (#ms)(#ms)",
            "#)",
            "  \u{1f}",
        ],
        "parse_log_prismjs" => &[
            "+ ./node_modules/.bin/mocha tests/run.js --reporter json\n{\"passes\": [{\"fullTitle\": \"@\"}, {\"fullTitle\": \"@\"}], \"failures\": [{\"fullTitle\": \"@\", \"err\": {}}], \"x\": [1]}\nend",
            "+ ./node_modules/.bin/mocha tests/run.js --reporter json",
            "+ ./node_modules/.bin/mocha tests/run.js --reporter json\n{\"passes\": [{\"fullTitle\": \"a\"}], \"failures\": [{\"fullTitle\": \"b\"}]}",
            "{\"passes\": [], \"failures\": []}",
            "{\"failures\": [{\"fullTitle\": \"c\"}], \"passes\": []}",
        ],
        "parse_log_eslint" => &[
            "  #) @",
            "       @:",
            "      AssertionError [x]: @",
            "     TypeError",
            "  #)",
            "Error  1) a Error",
        ],
        "parse_log_bpmn_js" => &[
            "2KPhantomJS 2.1.1 (Linux 0.0.0) @ FAILED",
            "2KPhantomJS 2.1.1 (Linux x86_64) @FAILED",
            "Chrome Headless 96.0 (Linux x86_64) @ FAILED",
            "HeadlessChrome 1.2 (Linux 0.0.0) @ FAILED",
            "HeadlessChrome 1.2 (Linux 0.0.0) @ FAILED x",
        ],
        "parse_log_openlayers" => &[
            "Chrome Headless 96.0 (Linux x86_64) @   y FAILED",
            "Chrome 96.0.1 (Linux x86_64) @ FAILED",
            "  #) @",
            "   @:",
            "   Error: q",
            "case @: mismatch 0.1",
            "case a: b: mismatch",
            "Chrome\n96.0 (Linux x) a FAILED",
        ],
        "parse_log_grommet" => &[
            "PASS @ (#.5 s)",
            "FAIL @",
            "PASS @ (#ms)",
            "FAIL",
            "PASS ",
            " PASS @",
            "FAIL\t@ (5s)",
        ],
        "parse_log_carbon" | "parse_log_react_pdf" => &[
            "PASS @ (#.5 s)",
            "FAIL @",
            "PASS @ (#ms)",
            "FAIL @ (#s)",
            "PASS ",
            " PASS @",
            "PASS @ (1ms) x (2 s)",
            "FAIL\u{1c}@",
        ],
        "parse_log_next" => &[
            "+ xvfb-run npm test\nStarting browser Chrome\n  @\n    @\n      ✓ @\n      ✗ @\n  @\n    ✓ @",
            "Running:  @  (1 of 2)\n\n\n  @\n    ✓ @ (12ms)\n    #) @\n    #) @",
            "+ xvfb-run npm test",
            "Starting browser Chrome",
            "  @",
            "    ✓ @",
            "    ✗ @",
            "TOTAL: 3",
            "LOG: @",
            "in @",
            "x ✗ y ✓ z",
            "AssertionError: #x",
            "",
            "",
            "Running:  a.js  (1 of 2)\n\n\n  button",
            "    ✓ @ (12ms)",
            "    #) @",
            "\u{1b}[32m✓\u{1b}[39m @",
        ],
        "parse_log_lighthouse" => &[
            "running # test files\n\n  @\n    @\n      ✔ @ (#ms)\n      #) @\n    @\n      ✔ @\n  # passing",
            "./node_modules/.bin/mocha --reporter json {\n  \"failures\": [\n    {\n      \"fullTitle\": \"@\",\n    }\n  ],\n  \"passes\": [\n    {\n      \"fullTitle\": \"@\",\n    }\n  ]\n}",
            "running # test files",
            "  @",
            "    @",
            "    ✔ @ (#ms)",
            "    ✔ @",
            "    #) @",
            "  # passing",
            "✔ @ (3mms)",
            "PASS @ (1 s)",
            "FAIL @",
            "./node_modules/.bin/mocha --reporter json",
            "  \"passes\": [",
            "  \"failures\": [",
            "      \"fullTitle\": \"@\",",
            "  ],",
            "  ]",
        ],
        "parse_log_quarto_cli" => &[
            "[unit] @ ... \u{1b}[32mok\u{1b}[0m (1ms)",
            "[smoke] @ ... \u{1b}[31mFAILED\u{1b}[0m",
            "[smoke] /tmp/a#/doc.qmd ... 32mok",
            "[smoke] /tmp/b#.qmd ...",
            "[unit] @ ... 34mINFO",
            "[unit] 3 passed (2 steps) 0 failed",
            "test result: [unit] ok",
            "ERRORS",
            "[unit] a",
            "[unit] a ... 32mok",
            "[unit] /tmp/é²/ /tmp/é²/x ... 31mFAILED",
        ],
        "parse_log_calypso" => &[
            "+ ./node_modules/.bin/jest x\n  @\n    @\n      ✓ @ (#ms)\n      ✕ @\n",
            "+ ./node_modules/.bin/jest x",
            "  @",
            "    @",
            "      ✓ @ (#ms)",
            "      ✕ @",
            "  ● @",
            "Test Suites: 1",
            "  ✓ @(#ms)",
            "✓ @",
            "  ✕ @ (#ms) x",
        ],
        "parse_log_chart_js" => &[
            "\u{1b}[31mChrome 96.0 (Linux x86_64) @ FAILED\u{1b}[39m",
            "Chrome 96.0 (Linux) @ FAILED",
            "Chrome 96.0 (a) (b) c FAILED",
            "Chrome 9\n(a) b FAILED",
            "Chrome 9\u{1f}(a)\u{a0}@FAILED",
        ],
        "parse_log_marked" => &["#) @", " #) @", "#)@", "#)  @ "],
        "parse_log_p5js" => &[
            "  #) @\n       @\n         @\n           @:\n",
            "<div><p>@<div></p>@</div>#) @",
            "</<p></p>div>",
            "<<p></p>div>",
            "  #) @",
            "       @",
            "         @:",
            "  #) @:",
            "<body>",
            "</body>",
            "<p>a</p>",
            "{ \"a\": 1 }",
            "[",
            "]",
            "{",
            "}",
            "a <b",
            ">c</b>",
            "#) flat:",
            "<p><p>x</p></p>",
            "</b",
        ],
        "parse_log_django" => &[
            "@ (m.C) ... ok",
            "@ (m.C) ... FAIL",
            "@ ... ERROR",
            "@ ... skipped 'x'",
            "ok",
            "FAIL: @",
            "ERROR: @ (m.C)",
            "@ ... ",
            "--version is equivalent to version",
        ],
        "parse_log_sympy" => &[
            "@ ok",
            "test_a ok",
            "test_b F",
            "test_c E",
            "____ a.py:test_d ____",
        ],
        _ => &[
            "PASSED @",
            "FAILED @ - x",
            "ERROR @",
            "SKIPPED [#] @",
            "XFAIL @",
            "@ PASSED",
            "@ FAILED [ 50%]",
            "PASSED a[/tmp/x/y]",
            "\u{1b}[32mPASSED\u{1b}[0m @",
            "PASSED t[MouseButton.LEFT]",
        ],
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
