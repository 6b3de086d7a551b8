//! Running images: the first time, when they are known, on layers that are known, and going back.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tempfile::TempDir;

use super::process::{self, settle};
use super::run_layers;
use super::run_peers::{Steered, Way, is_root, on_unpacked};
use super::run_podman::{Leavings, Podman};
use super::table::bytes;
use super::tools::{self, at_home};
use crate::command::{find, output};

/// Run images with ohoci, and with every other tool that starts on this machine.
///
/// One image for all: a busybox, and three layers of 45 MB that are made up, or one of each directory that
/// is named. In each round every tool has its turn, so that what else the machine does hits all of them, and
/// what the one before has written is on the disk by then. Whatever cannot be measured here is named with the
/// reason. The median of the rounds is given, with the least and the most. As an ordinary user podman is
/// rootless.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How many runs of what takes milliseconds.
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// How many runs of what unpacks.
    #[arg(long, default_value_t = 3)]
    first: usize,
    /// A directory that a layer is made of, instead of layers that are made up; repeatable.
    #[arg(long)]
    layer: Vec<PathBuf>,
    /// How many images share these layers, for what they take on the disk.
    #[arg(long, default_value_t = 10)]
    images: usize,
    /// A Python that has the wheel `nitrobox`, which is measured then.
    #[arg(long)]
    nitrobox_python: Option<PathBuf>,
    /// The binary to run with; without it, a release build is made.
    #[arg(long)]
    ohoci: Option<PathBuf>,
    /// Write the table to this file as well.
    #[arg(long)]
    out: Option<PathBuf>,
}

/// One line of the table.
struct Line {
    figure: &'static str,
    tool: String,
    times: Vec<Duration>,
}

struct Bench<'a> {
    arguments: &'a Arguments,
    ohoci: PathBuf,
    work: &'a Path,
    lines: Vec<Line>,
    notes: Vec<String>,
    podman: Option<Podman>,
    /// The most memory that unpacking took, in bytes.
    memory: u64,
}

const FIRST: &str = "first run of an unknown image";
const BEGUN: &str = "known image to the program's first byte";
const KNOWN: &str = "known image to the end of `echo`";
const STEERED: &str = "a harness's new sandbox, and a program run in it";
const STEERED_RESET: &str = "reset of that sandbox";
const RESET: &str = "reset of a sandbox with nothing written";
const NEW: &str = "new image on known layers";
const TEARDOWN: &str = "from a program's last word to the end";

/// Measures and prints the table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.runs == 0 || arguments.first == 0 {
        bail!("--runs and --first must be at least 1");
    }
    let work = TempDir::with_prefix("bench-")?;
    let _leavings = Leavings(work.path().to_owned());
    let mut bench = Bench {
        arguments,
        ohoci: tools::ohoci_program(arguments.ohoci.as_deref())?,
        work: work.path(),
        lines: Vec::new(),
        notes: Vec::new(),
        podman: None,
        memory: 0,
    };
    let before = load()?;
    println!("making an image");
    bench.make_image()?;
    bench.find_podman();
    println!("{FIRST}: {} rounds", arguments.first);
    bench.first()?;
    println!("{BEGUN}: {} rounds", arguments.runs);
    bench.known()?;
    println!("{STEERED}");
    bench.steered()?;
    println!("{RESET}; {TEARDOWN}");
    bench.reset_and_teardown()?;
    println!("{NEW}: {} images\n", arguments.images);
    let disk = bench.new_images()?;
    bench.count_calls();
    bench.describe_machine(&before)?;
    let text = bench.table(&disk);
    println!("{text}");
    if let Some(out) = &arguments.out {
        fs_err::write(out, text)?;
    }
    Ok(())
}

impl Bench<'_> {
    fn ohoci(&self) -> Command {
        ohoci(&self.ohoci, self.work)
    }

    /// The image `oci:image:big`.
    fn make_image(&self) -> Result<()> {
        let busybox = find("busybox").context("busybox-static is not installed")?;
        fs_err::create_dir_all(self.work.join("bin"))?;
        for name in ["busybox", "sh", "true", "echo", "dd"] {
            fs_err::copy(&busybox, self.work.join("bin").join(name))?;
        }
        let mut compose = self.ohoci();
        compose.args(["compose", "--base", "scratch", "--env", "PATH=/bin"]);
        compose.args(["--layer", "bin:/bin"]);
        for directory in &self.arguments.layer {
            let path = directory.display();
            compose.args(["--layer", &format!("{path}:{path}")]);
        }
        if self.arguments.layer.is_empty() {
            run_layers::make(&self.work.join("made"))?;
            for layer in 0..run_layers::LAYERS {
                compose.args(["--layer", &format!("made/{layer}:/made/{layer}")]);
            }
        }
        output(compose.args(["--push", "oci:image:big"])).map(drop)
    }

    /// Times one run.
    fn time(&mut self, figure: &'static str, tool: &str, command: &mut Command) -> Result<()> {
        let started = Instant::now();
        output(command)?;
        self.add(figure, tool, started.elapsed());
        Ok(())
    }

    fn add(&mut self, figure: &'static str, tool: &str, time: Duration) {
        let line = self
            .lines
            .iter_mut()
            .find(|line| line.figure == figure && line.tool == tool);
        match line {
            Some(line) => line.times.push(time),
            None => self.lines.push(Line {
                figure,
                tool: tool.to_owned(),
                times: vec![time],
            }),
        }
    }

    fn missing(&mut self, tool: &str, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        self.notes.push(format!("not measured: {tool}: {why}"));
    }

    fn first(&mut self) -> Result<()> {
        let umoci = find("umoci");
        if umoci.is_none() {
            self.missing("umoci unpack", "it is not installed");
        }
        let podman = self.podman.clone();
        let as_root = is_root()?;
        // Each has an empty place of its own every time, and nothing is removed: ext4 is slow to make files for
        // minutes after many were.
        for round in 0..self.arguments.first {
            settle()?;
            let mut run = self.ohoci();
            let cache = self.work.join(format!("cache-{round}"));
            run.args(["run", "oci:image:big", "true"]);
            let ran = process::watched(run.env("XDG_CACHE_HOME", cache), self.work)?;
            if ran.code != Some(0) {
                bail!("ohoci run ended badly: {}", ran.stderr);
            }
            self.add(FIRST, "ohoci run", ran.wall);
            self.memory = self.memory.max(ran.memory);
            if let Some(umoci) = &umoci {
                settle()?;
                let mut unpack = at_home(umoci, self.work);
                unpack.arg("unpack");
                if !as_root {
                    unpack.arg("--rootless");
                }
                let bundle = format!("bundle-{round}");
                unpack.args(["--image", "image:big", &bundle]);
                self.time(FIRST, "umoci unpack", &mut unpack)?;
            }
            let plain = self.work.join(format!("plain-{round}"));
            fs_err::create_dir(&plain)?;
            settle()?;
            let started = Instant::now();
            for blob in self.layers()? {
                output(
                    Command::new("tar")
                        .arg("-C")
                        .arg(&plain)
                        .arg("-xzf")
                        .arg(blob),
                )?;
            }
            self.add(FIRST, "tar -xzf, in turn", started.elapsed());
            if let Some(podman) = &podman {
                let podman = podman.anew(round);
                settle()?;
                self.time(FIRST, &podman.name()?, &mut podman.run())?;
            }
        }
        // What follows finds the image in the store that it uses.
        output(self.ohoci().args(["run", "oci:image:big", "true"])).map(drop)
    }

    /// podman, where it runs anything here.
    fn find_podman(&mut self) {
        match Podman::find(self.work) {
            Ok(podman) => self.podman = Some(podman),
            Err(error) => self.missing("podman", &format!("{error:#}")),
        }
    }

    /// The layers' files, lowest first.
    fn layers(&self) -> Result<Vec<PathBuf>> {
        let inspected =
            output(
                self.ohoci()
                    .args(["inspect", "oci:image:big", "--format", "json"]),
            )?;
        let document: serde_json::Value = serde_json::from_str(&inspected)?;
        let layers = document["images"][0]["layers"]
            .as_array()
            .context("inspect lists no layers")?;
        let blob = |layer: &serde_json::Value| {
            let digest = layer["digest"].as_str()?.strip_prefix("sha256:")?;
            Some(self.work.join("image/blobs/sha256").join(digest))
        };
        layers
            .iter()
            .map(|layer| blob(layer).context("a layer without a digest"))
            .collect()
    }

    /// A run of what is known, by ohoci on the image, and by others on what was unpacked before.
    fn known(&mut self) -> Result<()> {
        let mut ways = Vec::new();
        for (name, flags) in [
            ("ohoci run", &[][..]),
            ("ohoci run --keep", &["--keep", "kept"]),
        ] {
            let (program, work) = (self.ohoci.clone(), self.work.to_owned());
            ways.push(Way::new(name, move || {
                let mut command = ohoci(&program, &work);
                command.arg("run").args(flags).arg("oci:image:big");
                command.args(super::run_peers::PROGRAM);
                command
            }));
        }
        let (others, missing) = on_unpacked(&self.work.join("plain-0"), self.work)?;
        ways.extend(others);
        for tool in missing {
            self.missing(tool, "it is not installed");
        }
        if let Some(podman) = self.podman.clone() {
            let (name, run) = (podman.name()?, podman.run_known()?);
            ways.push(Way::new(name, move || again(&run)));
        }
        let mut here = Vec::new();
        for way in ways {
            // Not measured: everything is read from the disk by then.
            match way.run() {
                Ok(_) => here.push(way),
                Err(error) => self.missing(&way.name, &format!("{error:#}")),
            }
        }
        for _ in 0..self.arguments.runs {
            for way in &here {
                let ran = way.run().with_context(|| way.name.clone())?;
                self.add(BEGUN, &way.name, ran.begun);
                self.add(KNOWN, &way.name, ran.ended);
            }
        }
        Ok(())
    }

    /// Sandboxes for a harness that starts no process for each.
    fn steered(&mut self) -> Result<()> {
        let root = self.work.join("plain-0");
        let mut all = vec![Steered::ohoci(self.ohoci())?];
        match &self.arguments.nitrobox_python {
            None => self.missing("nitrobox", "--nitrobox-python names no Python that has it"),
            Some(python) => {
                let started = Steered::nitrobox(python, self.work);
                let tried = started.and_then(|mut it| it.round(&root).map(|_| it));
                match tried {
                    Ok(started) => all.push(started),
                    Err(error) => self.missing("nitrobox", &format!("{error:#}")),
                }
            }
        }
        for _ in 0..self.arguments.runs {
            for one in &mut all {
                let steps = one.round(&root)?;
                self.add(STEERED, one.name, steps.ran);
                self.add(STEERED_RESET, one.name, steps.reset);
            }
        }
        all.into_iter().try_for_each(Steered::end)
    }

    /// What else the figures depend on.
    fn describe_machine(&mut self, before: &str) -> Result<()> {
        let kernel = fs_err::read_to_string("/proc/sys/kernel/osrelease")?;
        let user = match is_root()? {
            true => "root",
            false => "an ordinary user",
        };
        let processors = std::thread::available_parallelism()?;
        self.notes.push(format!(
            "{processors} processors, Linux {}, as {user}; load average {before} before, {} after",
            kernel.trim(),
            load()?
        ));
        self.notes.push(format!(
            "the first run took {} of memory at most",
            bytes(self.memory)
        ));
        Ok(())
    }

    fn reset_and_teardown(&mut self) -> Result<()> {
        for _ in 0..self.arguments.runs {
            output(
                self.ohoci()
                    .args(["run", "--keep", "kept", "oci:image:big", "true"]),
            )?;
            let mut reset = self.ohoci();
            self.time(RESET, "ohoci reset", reset.args(["reset", "kept"]))?;
            let mut child = self
                .ohoci()
                .args(["run", "oci:image:big", "sh", "-c"])
                .arg("dd if=/dev/zero of=/file bs=1048576 count=50 2>/dev/null; echo done")
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()?;
            let mut word = [0; 5];
            let mut said = child.stdout.take().context("no output")?;
            said.read_exact(&mut word)?;
            let started = Instant::now();
            if !child.wait()?.success() {
                bail!("ohoci run ended badly");
            }
            self.add(TEARDOWN, "ohoci run that wrote 50 MB", started.elapsed());
        }
        Ok(())
    }

    /// Images that share all but a small layer, and what they take on the disk.
    fn new_images(&mut self) -> Result<String> {
        for number in 0..self.arguments.images {
            let own = self.work.join("own");
            fs_err::create_dir_all(&own)?;
            fs_err::write(own.join("number"), number.to_string())?;
            let target = format!("oci:image:{number}");
            let mut compose = self.ohoci();
            compose.args(["compose", "--base", "oci:image:big", "--layer", "own:/own"]);
            output(compose.args(["--push", &target]))?;
            let mut run = self.ohoci();
            self.time(NEW, "ohoci run", run.args(["run", &target, "true"]))?;
        }
        let usage = output(self.ohoci().args(["store", "usage", "--format", "json"]))?;
        let usage: serde_json::Value = serde_json::from_str(&usage)?;
        let store = usage["directory"]
            .as_str()
            .context("usage says no directory")?;
        let kept = disk_of(Path::new(store))?;
        let plain = disk_of(&self.work.join("plain-0"))?;
        Ok(format!(
            "{} images that share {} layers: {} in the store, {} unpacked once by tar ({:.2} times that).",
            self.arguments.images,
            self.layers()?.len(),
            bytes(kept),
            bytes(plain),
            kept as f64 / plain.max(1) as f64,
        ))
    }

    /// How many calls of the kernel a run of a known image takes, all processes together.
    fn count_calls(&mut self) {
        let Some(strace) = find("strace") else {
            return self.missing("calls of the kernel", "strace is not installed");
        };
        let mut command = at_home(&strace, self.work);
        command.env("TMPDIR", self.work);
        command.args(["-f", "-c", "-o", "calls"]).arg(&self.ohoci);
        let run = output(command.args(["run", "oci:image:big", "true"]));
        let counted = run.and_then(|_| Ok(fs_err::read_to_string(self.work.join("calls"))?));
        match counted {
            Ok(text) => {
                let total = text.lines().find(|line| line.trim_end().ends_with("total"));
                let calls = total.and_then(|line| line.split_ascii_whitespace().nth(3));
                let calls = calls.unwrap_or("an unknown number of");
                self.notes.push(format!(
                    "a run of a known image makes {calls} calls of the kernel"
                ));
            }
            Err(error) => self.missing("calls of the kernel", &format!("{error:#}")),
        }
    }

    fn table(&self, disk: &str) -> String {
        let mut text =
            "| figure | tool | median | least | most | × ohoci |\n|---|---|---:|---:|---:|---:|\n"
                .to_owned();
        for figure in [
            FIRST,
            BEGUN,
            KNOWN,
            STEERED,
            STEERED_RESET,
            RESET,
            NEW,
            TEARDOWN,
        ] {
            let of = self.lines.iter().filter(|line| line.figure == figure);
            let ours = of.clone().next().map(|line| median(&line.times));
            for line in of {
                let time = median(&line.times);
                let ratio = ours.map_or(0.0, |ours| time.as_secs_f64() / ours.as_secs_f64());
                let least = line.times.iter().min().copied().unwrap_or_default();
                let most = line.times.iter().max().copied().unwrap_or_default();
                let _ = writeln!(
                    text,
                    "| {figure} | {} | {} | {} | {} | {ratio:.1} |",
                    line.tool,
                    shown(time),
                    shown(least),
                    shown(most),
                );
            }
        }
        let _ = write!(text, "\n{disk}\n");
        for note in &self.notes {
            let _ = write!(text, "\n* {note}");
        }
        text
    }
}

/// ohoci, with all that it keeps in one place.
fn ohoci(program: &Path, work: &Path) -> Command {
    let mut command = at_home(program, work);
    command.env("TMPDIR", work);
    command
}

/// The same command once more.
fn again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    again.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => again.env(name, value),
            None => again.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        again.current_dir(directory);
    }
    again
}

/// The load of the last minute.
fn load() -> Result<String> {
    let text = fs_err::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// What a directory takes on the disk, in bytes.
fn disk_of(directory: &Path) -> Result<u64> {
    let said = output(
        Command::new("du")
            .args(["-s", "--block-size=1"])
            .arg(directory),
    )?;
    let number = said.split_ascii_whitespace().next().unwrap_or_default();
    Ok(number.parse()?)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds => format!("{:.1} ms", seconds * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        let times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!(shown(median(&times)), "2.0 ms");
        assert_eq!(shown(Duration::from_millis(1500)), "1.50 s");
    }
}
