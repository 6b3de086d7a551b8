//! `ohoci k8s`: deps beside unchanged images in Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::arguments::RegistryArguments;
use super::compose::ContractArgument;
use super::context::Context;
use super::failure::Failure;
use super::{exit_code, output, printable};
use ohoci_compose::read::this_machine;
use ohoci_image::{Platform, Reference};
use ohoci_kubernetes::change::{Change, change};
use ohoci_kubernetes::manifest;
use ohoci_kubernetes::workload::{Links, Note, Way, Wish, images, rewrite};
use ohoci_openhands::contract::terms::Terms;
use ohoci_openhands::contract::{Contract, server};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Rewrite manifests of Kubernetes so that their images get deps without being changed.
///
/// The deps image is mounted at /openhands of every container, and what it says of environment, command,
/// user and working directory is said in the manifest, computed from each container's own image. Pods,
/// Deployments, StatefulSets, DaemonSets, Jobs, CronJobs and lists of them are rewritten; everything else
/// stays. The result is YAML on stdout. Comments are lost, as are anchors.
///
/// What a manifest says itself goes before what the deps want. Every change, and what cannot work, is said
/// on stderr; exit code 4 says that something cannot.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// The manifests, or - for stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// The deps image, as the cluster reads it
    #[arg(long, value_name = "REF")]
    pub deps: String,

    /// Make containers fit OpenHands' launchers: the settings, and links as far as a pod can have them
    #[arg(
        long,
        value_enum,
        value_name = "VERSION",
        num_args = 0..=1,
        default_missing_value = "auto"
    )]
    pub contract: Option<ContractArgument>,

    /// Only containers of this name; repeatable
    #[arg(long, value_name = "NAME")]
    pub container: Vec<String>,

    /// The platform that the cluster's nodes have [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<Platform>,

    /// How the deps come in
    #[arg(long, value_enum, default_value_t)]
    pub volume: VolumeArgument,

    /// Write nothing to stdout: only say what would change and what cannot work
    #[arg(long)]
    pub check: bool,
}

/// How deps come into a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VolumeArgument {
    /// As an image volume with a subPath: Kubernetes 1.33 and later with the feature gate ImageVolume
    #[default]
    Image,
    /// Copied into an empty directory by a container that runs first; any cluster
    Copy,
}

/// Runs the command.
pub(super) async fn run(
    arguments: &Arguments,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let deps: Reference = arguments.deps.parse()?;
    if deps.registry().is_none() {
        return Err(Failure::usage(format!(
            "{deps} is in no registry that a cluster reads"
        )));
    }
    let text = read(&arguments.file)?;
    let what = || format!("cannot rewrite {}", arguments.file.display());
    let mut documents =
        manifest::parse(&text).map_err(|error| Failure::new(what(), error.to_string()))?;
    let context = Context::open(registry)?;
    let deps = vec![deps];
    let contract = match arguments.contract {
        None => None,
        Some(ContractArgument::V0) => Some(Contract::V0),
        Some(ContractArgument::V1) => Some(Contract::V1),
        Some(ContractArgument::Auto) => Some(server::asked_for(&deps, &context.resolver).await?),
    };
    let terms = match contract {
        Some(contract) => {
            server::expect(contract, &deps, &context.resolver).await?;
            Some(server::terms(contract, &deps, &context.resolver).await?)
        }
        None => None,
    };
    let wish = Wish {
        deps: arguments.deps.clone(),
        way: match arguments.volume {
            VolumeArgument::Image => Way::ImageVolume,
            VolumeArgument::Copy => Way::Copy,
        },
        containers: arguments.container.iter().cloned().collect(),
        links: terms.map(Links::of).unwrap_or_default(),
    };
    let wanted = images(&documents, &wish);
    if wanted.is_empty() {
        let why = match wish.containers.is_empty() {
            true => "there is no pod in it, and nothing that makes pods",
            false => "no pod in it has such a container",
        };
        return Err(Failure::new(what(), why));
    }
    let changes = changes(&wanted, &deps, terms, arguments, &context).await;
    let notes = rewrite(&mut documents, &wish, &changes);
    show(&notes);
    if !arguments.check {
        let text =
            manifest::write(&documents).map_err(|error| Failure::new(what(), error.to_string()))?;
        output::plain(text.as_bytes())?;
    }
    context.show_server_warnings();
    Ok(match notes.iter().any(|note| note.is_problem) {
        true => exit_code::WANTING,
        false => exit_code::DONE,
    })
}

/// What the deps change of each image, or why that is not known.
async fn changes(
    wanted: &BTreeSet<String>,
    deps: &[Reference],
    terms: Option<Terms>,
    arguments: &Arguments,
    context: &Context,
) -> BTreeMap<String, Result<Change, String>> {
    let platform = arguments.platform.clone().unwrap_or_else(this_machine);
    let mut changes = BTreeMap::new();
    for image in wanted {
        let outcome = match image.parse::<Reference>() {
            Ok(reference) if reference.registry().is_some() => {
                let work_dir = context.work_dir.clone();
                let resolver = &context.resolver;
                change(&reference, deps, terms, &platform, resolver, work_dir)
                    .await
                    .map_err(|error| error.to_string())
            }
            Ok(_) => Err(format!("the image {image:?} is in no registry")),
            Err(error) => Err(error.to_string()),
        };
        changes.insert(image.clone(), outcome);
    }
    changes
}

fn show(notes: &[Note]) {
    for note in notes {
        let place = match note.place.container.as_str() {
            "" => note.place.workload.clone(),
            container => format!("{}, container {container}", note.place.workload),
        };
        let line = printable::line(&format!("{place}: {}", note.text));
        match note.is_problem {
            true => output::warning(&line),
            false => output::note(&line),
        }
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(format!("cannot read {}", file.display()), error.to_string())
    };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    } else {
        ohoci_files::regular::open(file)
            .map_err(failed)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
    }
    let what = || format!("cannot read {}", file.display());
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::new(what(), "it is larger than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(what(), "it is not UTF-8 text"))
}
