//! The command line of ohoci: arguments, messages, progress, exit codes. What a command does is in the
//! crates below `crates/`; `docs/architecture.md` lists them. Nothing else prints.

pub mod arguments;
pub mod batch;
pub mod check;
mod choices;
mod colour;
pub mod compose;
pub mod context;
pub mod copy;
pub mod delete;
pub mod deps;
pub mod digest;
pub mod doctor;
mod examples;
pub mod exit_code;
pub mod export;
pub mod failure;
mod guess;
mod habits;
pub mod index;
pub mod inspect;
pub mod k8s;
pub mod key;
pub mod limits;
pub mod login;
pub mod ls;
pub mod manual;
pub mod outdated;
pub mod output;
mod password;
mod printable;
pub mod progress;
pub mod rebase;
pub mod reset;
pub mod run;
pub mod sandboxes;
pub mod serve;
pub mod sign;
mod signals;
pub mod signing;
pub mod store;
pub mod swebench;
pub mod tags;
pub mod trusted;
pub mod verify;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use arguments::{ConsoleArguments, RegistryArguments};
use failure::Failure;
use signals::Signals;

/// How long abandoned work gets to remove its temporary files.
const CLEANING_UP: Duration = Duration::from_millis(500);

/// Put ready-made layers on any base image: no daemon, no build, no root.
#[derive(Parser, Debug)]
#[command(
    name = "ohoci",
    version,
    long_version = version::VERSION,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    registry: RegistryArguments,

    #[command(flatten)]
    console: ConsoleArguments,
}

#[derive(Subcommand, Debug)]
enum Command {
    Compose(Box<compose::Arguments>),
    Batch(Box<batch::Arguments>),
    Inspect(inspect::Arguments),
    Digest(digest::Arguments),
    Ls(ls::Arguments),
    Delete(delete::Arguments),
    Outdated(outdated::Arguments),
    Rebase(rebase::Arguments),
    Verify(verify::Arguments),
    Sign(sign::Arguments),
    /// Keys that images are signed with
    #[command(subcommand)]
    Key(key::KeyCommand),
    Check(check::Arguments),
    Doctor(doctor::Arguments),
    Copy(copy::Arguments),
    Index(index::Arguments),
    Export(export::Arguments),
    Run(Box<run::Arguments>),
    Reset(reset::Arguments),
    K8s(k8s::Arguments),
    Sandboxes(sandboxes::Arguments),
    Tags(Box<tags::Arguments>),
    /// Ready-made layers from packages
    #[command(subcommand)]
    Deps(deps::DepsCommand),
    /// SWE-bench without Docker
    #[command(subcommand)]
    Swebench(swebench::SwebenchCommand),
    /// Unpacked layers on this machine
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// A small registry for CI jobs and tests
    #[command(subcommand)]
    Registry(RegistryCommand),
    Login(login::LoginArguments),
    Logout(login::LogoutArguments),
    Completions(manual::CompletionsArguments),
    Man(manual::ManArguments),
}

impl Command {
    /// The references of a command line, as they were typed, and whether files of this machine can stand
    /// beside them as layers.
    fn typed(&self) -> (Vec<String>, bool) {
        let typed = match self {
            Self::Compose(arguments) => {
                let all = arguments.base.iter();
                let all = all.chain(&arguments.common.deps);
                return (all.chain(&arguments.common.push).cloned().collect(), true);
            }
            Self::Inspect(arguments) => vec![arguments.reference.clone()],
            Self::Digest(arguments) => vec![arguments.reference.clone()],
            Self::Export(arguments) => vec![arguments.reference.clone()],
            Self::Verify(arguments) => vec![arguments.reference.clone()],
            Self::Sign(arguments) => vec![arguments.reference.clone()],
            Self::Outdated(arguments) => arguments.references.clone(),
            Self::Rebase(arguments) => {
                let all = std::iter::once(&arguments.reference).chain(&arguments.base);
                let all = all.chain(&arguments.deps).chain(&arguments.push);
                all.cloned().collect()
            }
            Self::Check(arguments) => {
                let all = std::iter::once(&arguments.reference);
                all.chain(&arguments.deps).cloned().collect()
            }
            Self::Copy(arguments) => {
                let all = std::iter::once(&arguments.from);
                all.chain(&arguments.to).cloned().collect()
            }
            Self::Index(arguments) => {
                let all = arguments.from.iter();
                all.chain(&arguments.push).cloned().collect()
            }
            Self::Run(arguments) if arguments.rootfs.is_none() => {
                let image = arguments.words.first();
                image
                    .map(|image| image.to_string_lossy().into_owned())
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        };
        (typed, false)
    }
}

#[derive(Subcommand, Debug)]
enum RegistryCommand {
    Serve(serve::Arguments),
}

/// The command line as data, with examples: what is parsed, and what reference documentation and man
/// pages are made of.
#[must_use]
pub fn command() -> clap::Command {
    with_examples(Cli::command(), "")
}

/// A command and those below it, with the examples of each behind its help; `path` names it below
/// `ohoci`.
fn with_examples(command: clap::Command, path: &str) -> clap::Command {
    let lines = examples::of(path);
    let command = if lines.is_empty() {
        command
    } else {
        command.after_help(format!("Examples:\n  {}", lines.join("\n  ")))
    };
    command.mut_subcommands(|inner| {
        let path = format!("{path} {}", inner.get_name());
        with_examples(inner, path.trim_start())
    })
}

/// Runs one command line and says how the process ends.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words = swebench::run_evaluation::words::rewritten(arguments);
    let mut words: Vec<OsString> = words.into_iter().collect();
    let cli = loop {
        let parsed = command().try_get_matches_from(&words);
        let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
            Ok(cli) => cli,
            Err(error) => return output::usage(&habits::amended(error, &words)),
        };
        let Command::Run(arguments) = &cli.command else {
            break cli;
        };
        match run::mounting(&words, &arguments.words) {
            Some(mounting) => words = mounting,
            None => break cli,
        }
    };
    output::start(cli.console.quiet, cli.console.progress);
    output::start_log(cli.registry.verbose);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return output::failure(&Failure::new("cannot start", error.to_string()));
        }
    };
    let pushes = matches!(
        cli.command,
        Command::Compose(_) | Command::Batch(_) | Command::Copy(_) | Command::Rebase(_)
    );
    let (typed, takes_layers) = cli.command.typed();
    let outcome = runtime.block_on(async {
        // A server ends well by a signal; everything else is interrupted by it.
        if let Command::Registry(RegistryCommand::Serve(arguments)) = &cli.command {
            return Some(Box::pin(serve::run(arguments, &cli.registry)).await);
        }
        // So does a program that is given time to end by itself.
        if matches!(&cli.command, Command::Run(arguments) if arguments.is_stopped_gently()) {
            return Some(dispatch(cli).await);
        }
        until_interrupted(dispatch(cli)).await
    });
    // Threads that write files remove what they leave unfinished, if they get the time; a blocked
    // read has nothing left to tell.
    runtime.shutdown_timeout(CLEANING_UP);
    match outcome {
        Some(Ok(code)) => ExitCode::from(code),
        Some(Err(failure)) => output::failure(&guess::meant(failure, &typed, takes_layers)),
        None => {
            output::note(if pushes {
                "interrupted; no tag was moved to anything incomplete"
            } else {
                "interrupted"
            });
            ExitCode::from(exit_code::INTERRUPTED)
        }
    }
}

async fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let registry = cli.registry;
    match cli.command {
        Command::Compose(arguments) => Box::pin(compose::run(&arguments, &registry)).await,
        Command::Batch(arguments) => Box::pin(batch::run(&arguments, &registry)).await,
        Command::Inspect(arguments) => Box::pin(inspect::run(&arguments, &registry)).await,
        Command::Digest(arguments) => Box::pin(digest::run(&arguments, &registry)).await,
        Command::Ls(arguments) => Box::pin(ls::run(&arguments, &registry)).await,
        Command::Delete(arguments) => Box::pin(delete::run(&arguments, &registry)).await,
        Command::Outdated(arguments) => Box::pin(outdated::run(&arguments, &registry)).await,
        Command::Rebase(arguments) => Box::pin(rebase::run(&arguments, &registry)).await,
        Command::Verify(arguments) => Box::pin(verify::run(&arguments, &registry)).await,
        Command::Sign(arguments) => Box::pin(sign::run(&arguments, &registry)).await,
        Command::Key(command) => Box::pin(key::run(&command)).await,
        Command::Check(arguments) => Box::pin(check::run(&arguments, &registry)).await,
        Command::Doctor(arguments) => Box::pin(doctor::run(&arguments, &registry)).await,
        Command::Copy(arguments) => Box::pin(copy::run(&arguments, &registry)).await,
        Command::Index(arguments) => Box::pin(index::run(&arguments, &registry)).await,
        Command::Export(arguments) => Box::pin(export::run(&arguments, &registry)).await,
        Command::Run(arguments) => Box::pin(run::run(&arguments, &registry)).await,
        Command::K8s(arguments) => Box::pin(k8s::run(&arguments, &registry)).await,
        Command::Sandboxes(arguments) => Box::pin(sandboxes::run(&arguments, &registry)).await,
        Command::Reset(arguments) => Box::pin(reset::run(&arguments, &registry)).await,
        Command::Tags(arguments) => tags::run(&arguments),
        Command::Deps(command) => Box::pin(deps::run(&command, &registry)).await,
        Command::Swebench(command) => Box::pin(swebench::run(&command, &registry)).await,
        Command::Registry(RegistryCommand::Serve(arguments)) => {
            Box::pin(serve::run(&arguments, &registry)).await
        }
        Command::Store(command) => Box::pin(store::run(&command, &registry)).await,
        Command::Login(arguments) => Box::pin(login::login(&arguments, &registry)).await,
        Command::Logout(arguments) => Box::pin(login::logout(&arguments, &registry)).await,
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
    }
}

/// `None` when Ctrl-C or SIGTERM came first: the work is dropped where it stands.
pub(crate) async fn until_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut signals = Signals::take();
    tokio::select! {
        outcome = work => Some(outcome),
        _ = Signals::next(&mut signals) => None,
    }
}
