//! The flags of `ohoci run`, and what they come to.

#![expect(
    rustdoc::broken_intra_doc_links,
    reason = "these comments are help texts, where brackets mark what may be left out"
)]

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::compose::LayerArguments;
use crate::failure::Failure;
use crate::habits;
use crate::limits::LimitArguments;
use ohoci_config::text;
use ohoci_files::regular;
use ohoci_image::{Platform, Reference, env};
use ohoci_run::Request;
use ohoci_sandbox::{Bind, HOST_NAME, Network, root};

/// Run a program in an image, without a daemon or privileges.
///
/// The image's layers are unpacked once on this machine and stay for the next run (`ohoci store`);
/// what the program writes goes to a temporary directory, which is removed afterwards. It runs as
/// `docker run` would start it: entrypoint, command, environment, working directory and user are the
/// image's, unless they are given. It has no network unless it is given one, and sees nothing of this
/// machine but what --mount shows it. Needs bubblewrap (`bwrap`).
///
/// Ends with the program's exit code; 124 when its time was over, 125 when ohoci failed, 126 when
/// the program cannot be executed, 127 when it is not there, 137 when it wrote or took more
/// than it may (--disk, --inodes, --memory).
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "ohoci run [OPTIONS] IMAGE [--] [CMD]...\n       ohoci run [OPTIONS] --base REF --deps REF [--] [CMD]...\n       ohoci run [OPTIONS] --rootfs DIR [--] CMD..."
)]
pub struct Arguments {
    /// The image (a registry reference, oci:DIR[:TAG], oci-archive:FILE[:TAG] or
    /// docker-archive:FILE[:NAME]) and what to run in it instead of its own command
    #[arg(
        value_name = "IMAGE|CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub words: Vec<OsString>,

    /// Run in the root file system in this directory instead of an image; what the program writes
    /// stays there
    #[arg(long, value_name = "DIR")]
    pub rootfs: Option<PathBuf>,

    /// Run the image that `ohoci compose` would make on this base; it is pushed nowhere
    #[arg(
        long,
        value_name = "REF",
        conflicts_with = "rootfs",
        help_heading = "Composing"
    )]
    pub base: Option<String>,

    /// Append the layers and settings of this image to the base; repeatable
    #[arg(
        long,
        value_name = "REF",
        requires = "base",
        help_heading = "Composing"
    )]
    pub deps: Vec<String>,

    #[command(flatten)]
    pub(super) layers: LayerArguments,

    /// Keep what the program writes, for the next run of this image under the same name; `ohoci reset
    /// NAME` takes it away
    #[arg(long, value_name = "NAME", conflicts_with_all = ["rootfs", "read_only"])]
    pub keep: Option<String>,

    /// Of an index, take the image for this platform [default: the one for this machine]
    #[arg(long, value_name = "PLATFORM", conflicts_with = "rootfs")]
    pub platform: Option<Platform>,

    /// Set a variable, or pass on this process's own one of that name; repeatable
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Set the variables in this file, one NAME=VALUE in a line, before those of --env; repeatable
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,

    /// Start in this directory, which is made if it is missing
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,

    /// Be this user inside, by names of the root file system or by numbers
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Start this program instead of the image's entrypoint
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,

    /// Show a file or directory of this machine inside, read-only with `:ro`; repeatable, and `-v` as
    /// well
    #[arg(long, alias = "volume", value_name = "SRC:DST[:ro]")]
    pub mount: Vec<String>,

    /// Put an empty file system in memory over this directory; repeatable
    #[arg(long, value_name = "DIR")]
    pub tmpfs: Vec<PathBuf>,

    /// What the sandbox is called
    #[arg(long, value_name = "NAME", value_parser = host_name, default_value = HOST_NAME)]
    pub hostname: String,

    /// Let this name lead to this address; repeatable
    #[arg(long, value_name = "NAME:IP", value_parser = named_host)]
    pub add_host: Vec<(String, IpAddr)>,

    /// What the program can reach
    #[arg(long, value_enum, value_name = "NETWORK", default_value_t)]
    pub network: NetworkChoice,

    /// Let the program make namespaces of its own, as browsers do for their own sandbox; what the
    /// kernel lets ordinary users do with them is then open to it
    #[arg(long)]
    pub allow_nested_namespaces: bool,

    /// Give the program a terminal of its own, shown on the one that ohoci runs in: Ctrl-C, job control
    /// and changes of size are the program's
    #[arg(long, short)]
    pub tty: bool,

    /// Pass standard input on; this is done without it, too
    #[arg(long, short)]
    pub interactive: bool,

    /// Have a first process that reaps others; every sandbox has one without it, too
    #[arg(long)]
    pub init: bool,

    /// Remove what was written at the end; without --keep this is done without it, too
    #[arg(long, conflicts_with = "keep")]
    pub rm: bool,

    /// On Ctrl-C and SIGTERM send the program that signal, and give it so many seconds to end by
    /// itself; a second signal kills everything at once
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    pub stop_timeout: Duration,

    /// Let the program write nothing but mounts, --tmpfs and /dev/shm
    #[arg(long)]
    pub read_only: bool,

    #[command(flatten)]
    pub(super) limits: LimitArguments,
}

/// What a program can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NetworkChoice {
    /// Nothing but itself.
    #[default]
    None,
    /// Nothing but itself, by a way out that leads nowhere: connections get no answer.
    DeadEnd,
    /// What this machine can.
    Host,
}

impl From<NetworkChoice> for Network {
    fn from(choice: NetworkChoice) -> Self {
        match choice {
            NetworkChoice::None => Self::None,
            NetworkChoice::DeadEnd => Self::DeadEnd,
            NetworkChoice::Host => Self::Host,
        }
    }
}

/// Where the root file system comes from, as the flags say.
#[derive(Clone, Debug)]
pub(super) enum Root {
    Image(Reference, Option<Platform>),
    /// An image that is composed on this base.
    Composed(Reference, Option<Platform>),
    Directory(PathBuf),
}

impl Arguments {
    /// Whether the program is to end by itself when ohoci is to end.
    pub(crate) fn is_stopped_gently(&self) -> bool {
        !self.stop_timeout.is_zero()
    }

    /// Reads the flags.
    ///
    /// # Errors
    /// When they ask for something that cannot be.
    pub(super) fn request(&self) -> Result<(Root, Request), Failure> {
        let (root, words) = self.root()?;
        let request = Request {
            words: words.to_vec(),
            entrypoint: self.entrypoint.clone(),
            environment: self.environment()?,
            directory: match &self.workdir {
                Some(path) if !path.starts_with('/') => {
                    return Err(Failure::usage(format!(
                        "--workdir: {path} does not begin with `/`"
                    )));
                }
                directory => directory.clone(),
            },
            user: self.user.clone(),
            mounts: self
                .mount
                .iter()
                .map(|text| {
                    let bind: Bind = text
                        .parse()
                        .map_err(|error| Failure::usage(format!("--mount: {error}")))?;
                    not_over_processes("--mount", text, &bind.destination)?;
                    Ok::<Bind, Failure>(bind)
                })
                .collect::<Result<_, _>>()?,
            temporary: self
                .tmpfs
                .iter()
                .map(|path| {
                    let clean = root::cleaned(path);
                    if !path.is_absolute() || clean.parent().is_none() {
                        let path = path.display();
                        return Err(Failure::usage(format!(
                            "--tmpfs: {path} is no directory below `/`"
                        )));
                    }
                    not_over_processes("--tmpfs", &path.to_string_lossy(), &clean)?;
                    Ok(clean)
                })
                .collect::<Result<_, _>>()?,
            host_name: self.hostname.clone(),
            hosts: self.add_host.clone(),
            network: self.network.into(),
            read_only: self.read_only,
            nested_namespaces: self.allow_nested_namespaces,
            terminal: self.tty,
        };
        Ok((root, request))
    }

    /// The variables of --env-file, and those of --env behind them, which so go before.
    fn environment(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut all = Vec::new();
        for path in &self.env_file {
            let what = || format!("cannot read --env-file {}", path.display());
            let bytes = regular::read(path)
                .map_err(|error| Failure::usage(format!("{}: {error}", what())))?;
            let text = text::decode(bytes)
                .map_err(|error| Failure::usage(format!("{}: {error}", what())))?;
            for line in text.lines().map(str::trim_start) {
                // As Docker reads such files: no quotes, no `export`.
                if !line.is_empty() && !line.starts_with('#') {
                    all.extend(variable(line)?);
                }
            }
        }
        for text in &self.env {
            all.extend(variable(text)?);
        }
        Ok(all)
    }

    fn root(&self) -> Result<(Root, &[OsString]), Failure> {
        if let Some(directory) = &self.rootfs {
            let root = Root::Directory(directory.clone());
            return match self.words.as_slice() {
                [] if self.entrypoint.is_none() => {
                    Err(Failure::usage("there is no program to run")
                        .hinted("a root file system has no command of its own: name one after it"))
                }
                words => Ok((root, words)),
            };
        }
        if let Some(base) = &self.base {
            let root = Root::Composed(base.parse()?, self.platform.clone());
            return Ok((root, without_dashes(&self.words)));
        }
        if !self.layers.layer.is_empty() {
            return Err(
                Failure::usage("--layer is put on a base, and there is none")
                    .hinted("--base REF names it, in the place of the image"),
            );
        }
        let Some((image, words)) = self.words.split_first() else {
            return Err(Failure::usage("there is no image to run")
                .hinted("name one, or a root file system with --rootfs DIR"));
        };
        let image = image.to_string_lossy();
        if image.starts_with('-') {
            let hint = habits::flag("run", &image).unwrap_or(
                "flags are listed by ohoci run --help; those of the program come after it",
            );
            return Err(Failure::usage(format!("there is no flag {image}")).hinted(hint));
        }
        if is_mount(&image) {
            return Err(
                Failure::usage(format!("{image} is no image")).hinted(format!(
                    "--mount {image} shows a directory of this machine inside"
                )),
            );
        }
        let root = Root::Image(image.parse()?, self.platform.clone());
        Ok((root, without_dashes(words)))
    }
}

/// Whether what stands in an image's place is a directory that is to be mounted: no image's name begins
/// so.
fn is_mount(word: &str) -> bool {
    word.contains(":/") && word.starts_with(['/', '.', '~'])
}

/// A command line with `-v SRC:DST` as Docker has it, which is --verbose before an image here, as
/// `--mount SRC:DST`; `None` where there is none. `behind` are the words behind all flags, of which the
/// first was taken for an image.
#[must_use]
pub(crate) fn mounting(words: &[OsString], behind: &[OsString]) -> Option<Vec<OsString>> {
    let is_first = behind.first()?.to_str().is_some_and(is_mount);
    let flag = words.len().checked_sub(behind.len())?.checked_sub(1)?;
    let mut all = words.to_vec();
    let given = all
        .get_mut(flag)
        .filter(|given| is_first && *given == "-v")?;
    *given = "--mount".into();
    Some(all)
}

/// The words behind `--`, if they begin with that.
fn without_dashes(words: &[OsString]) -> &[OsString] {
    match words.split_first() {
        Some((dashes, rest)) if dashes == "--" => rest,
        _ => words,
    }
}

/// Whole seconds, or with a decimal point.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A name that the kernel and a list of hosts take.
fn host_name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match (1..=63).contains(&text.len()) && text.chars().all(is_fine) {
        true => Ok(text.to_owned()),
        false => Err("it is no name of up to 63 letters, digits, `.`, `-` and `_`".to_owned()),
    }
}

/// `NAME:IP`, where the address may have colons itself, as in Docker.
fn named_host(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) = text
        .split_once(':')
        .or_else(|| text.split_once('='))
        .ok_or_else(|| "expected NAME:IP".to_owned())?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = address
        .parse()
        .map_err(|_| format!("{address} is no address"))?;
    Ok((host_name(name)?, address))
}

/// Nothing can be put over `/proc`, which the kernel makes up, or below it.
fn not_over_processes(flag: &str, given: &str, destination: &Path) -> Result<(), Failure> {
    match destination.starts_with("/proc") {
        true => Err(Failure::usage(format!(
            "{flag}: {given} would cover some of /proc, which is the sandbox's own"
        ))),
        false => Ok(()),
    }
}

/// `NAME=VALUE`, or a variable of this process; `None` when that is not set, as in Docker.
fn variable(text: &str) -> Result<Option<(String, String)>, Failure> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, std::env::var(text).ok()),
    };
    if !env::is_name(name) {
        return Err(Failure::usage(format!("--env: {text:?} names no variable")));
    }
    Ok(value.map(|value| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_before_the_image_makes_v_a_mount() {
        let words = |line: &str| -> Vec<OsString> { line.split(' ').map(OsString::from).collect() };
        let made = |line: &str, behind: &str| mounting(&words(line), &words(behind));
        assert_eq!(
            made("ohoci run -v /a:/b -e X image sh", "/a:/b -e X image sh"),
            Some(words("ohoci run --mount /a:/b -e X image sh"))
        );
        for (line, behind) in [
            ("ohoci run -v image -v /a:/b", "image -v /a:/b"),
            ("ohoci run -q /a:/b image", "/a:/b image"),
            ("ohoci run -v name:/b image", "name:/b image"),
            ("/a:/b", "/a:/b"),
        ] {
            assert_eq!(made(line, behind), None, "{line}");
        }
    }
}
