//! Developer tasks: `cargo xtask test`, `gen`, `dist`, `reproduce`, `lint`, `sbom`, `bench`, `matrix`, `parsers`,
//! `fixtures`.
//!
//! Add commands here which otherwise would end up as a lot of shell.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task's job is to tell the developer what it does"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a task may stop at what is not as the developer made it"
)]

mod bases;
mod bench;
mod command;
mod debian;
mod dist;
mod environment;
mod fixtures;
mod generate;
mod lint;
mod matrix;
mod models;
mod parsers;
mod release;
mod sbom;
mod test;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Developer tasks of ohoci.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need and run all of them.
    Test(test::Arguments),
    /// Write the files that are generated: docs/cli.md, the table of environment variables in docs/guide.md, and
    /// Python's classes for what commands print.
    Gen {
        /// Write nothing; fail if a file is not what would be written.
        #[arg(long)]
        check: bool,
    },
    /// Make what is given to users: wheel, archive with bill of materials, man pages and completions, Debian
    /// package, container image and their checksums.
    Dist(dist::Arguments),
    /// Make all of that in two directories and compare: both have to be the same, byte for byte.
    Reproduce,
    /// Check the types of the Python package, and the definitions for CIs against their schemas.
    Lint,
    /// Print the binary's bill of materials (CycloneDX).
    Sbom,
    /// Measure ohoci beside other tools.
    #[command(subcommand)]
    Bench(Bench),
    /// Put a deps image on many bases and try everything that it brings on each.
    Matrix(matrix::Arguments),
    /// Read made-up logs of SWE-bench with ohoci's parsers and with upstream's: both have to find the same.
    Parsers(parsers::Arguments),
    /// Make real inputs for tests by hand and for measurements.
    #[command(subcommand)]
    Fixtures(Fixtures),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Put a folder on a base image in a registry, with every tool that is installed.
    Compose(bench::compose::Arguments),
    /// Compose on hundreds of bases, beside other tools and what the registry sustains.
    Batch(bench::batch::Arguments),
    /// Build a deps image cold and from the cache, and pack the same files with other tools.
    Deps(bench::deps::Arguments),
    /// Link a frozen environment of conda's packages with ohoci and other installers.
    Conda(bench::conda::Arguments),
    /// Let Docker pull images that were composed with the deps layer at the bottom and at the top.
    Pull(bench::pull::Arguments),
    /// Evaluate made-up instances of SWE-bench, step by step.
    Evaluation(bench::evaluation::Arguments),
    /// Pull images that nobody pushed through a registry that composes.
    Gateway(bench::gateway::Arguments),
    /// Run images the first time, when they are known, and on known layers, beside other tools.
    Run(bench::run::Arguments),
    /// Compose on hundreds of bases with signatures, and without.
    Sign(bench::sign::Arguments),
    /// Build images of SWE-bench's instances, evaluate them, and plan a dataset.
    Swebench(bench::swebench::Arguments),
}

#[derive(Debug, Subcommand)]
enum Fixtures {
    /// Make the root file system of a minimal Debian, as a tar, from this machine's apt sources.
    DebianBase {
        /// The tar to write.
        out: PathBuf,
    },
    /// Push base images that are shaped like SWE-bench's and print their references.
    Bases(bases::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.task {
        Task::Test(arguments) => test::run(arguments),
        Task::Gen { check } => generate::run(*check),
        Task::Dist(arguments) => dist::run(arguments),
        Task::Reproduce => release::reproduce(),
        Task::Lint => lint::all(),
        Task::Sbom => sbom::document().map(|document| print!("{document}")),
        Task::Bench(Bench::Compose(arguments)) => bench::compose::run(arguments),
        Task::Bench(Bench::Batch(arguments)) => bench::batch::run(arguments),
        Task::Bench(Bench::Deps(arguments)) => bench::deps::run(arguments),
        Task::Bench(Bench::Conda(arguments)) => bench::conda::run(arguments),
        Task::Bench(Bench::Pull(arguments)) => bench::pull::run(arguments),
        Task::Bench(Bench::Evaluation(arguments)) => bench::evaluation::run(arguments),
        Task::Bench(Bench::Gateway(arguments)) => bench::gateway::run(arguments),
        Task::Bench(Bench::Run(arguments)) => bench::run::run(arguments),
        Task::Bench(Bench::Sign(arguments)) => bench::sign::run(arguments),
        Task::Bench(Bench::Swebench(arguments)) => bench::swebench::run(arguments),
        Task::Matrix(arguments) => matrix::run(arguments),
        Task::Parsers(arguments) => parsers::run(arguments),
        Task::Fixtures(Fixtures::DebianBase { out }) => fixtures::debian_base(out),
        Task::Fixtures(Fixtures::Bases(arguments)) => bases::run(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
