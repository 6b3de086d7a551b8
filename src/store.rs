//! `ohoci store`: the layers that are unpacked on this machine.

use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::arguments::{Format, RegistryArguments};
use super::context::Context;
use super::failure::Failure;
use super::limits::{number_of_bytes, seconds};
use super::{exit_code, output};
use ohoci_node::{KeptLayer, Kind, LayerStore, Pruned, Retention, Usage, Verified};
use ohoci_report::size::bytes;

/// The commands below `ohoci store`.
#[derive(Subcommand, Debug)]
pub enum StoreCommand {
    /// What is kept.
    List(ListArguments),
    /// What room it takes.
    Usage(UsageArguments),
    /// Making room.
    Prune(PruneArguments),
    /// Looking for damage.
    Verify(VerifyArguments),
}

/// List the layers, that used last first.
#[derive(Args, Clone, Debug)]
pub struct ListArguments {
    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Say where the store is and what room it takes.
#[derive(Args, Clone, Debug)]
pub struct UsageArguments {
    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Remove layers that nothing uses, those used longest ago first.
///
/// What is needed again is unpacked again.
#[derive(Args, Clone, Debug)]
pub struct PruneArguments {
    /// What is to go.
    #[command(flatten)]
    pub what: What,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What is to go.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct What {
    /// Until no more than this is left, such as 20GB or 512MiB
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub keep: Option<u64>,

    /// What was not used for so long, such as 90m, 12h, 7d
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub unused_for: Option<Duration>,

    /// Everything
    #[arg(long)]
    pub all: bool,
}

/// Compare the layers with what they were when they were unpacked, by content.
///
/// Ends with 1 where something is damaged and stays.
#[derive(Args, Clone, Debug)]
pub struct VerifyArguments {
    /// Remove what is damaged, so that it is unpacked again
    #[arg(long)]
    pub repair: bool,

    /// How the result is written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

fn size(text: &str) -> Result<u64, String> {
    number_of_bytes(text).ok_or_else(|| "it is no size such as 20GB or 512MiB".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    seconds(text).ok_or_else(|| "it is no time such as 90m, 12h or 7d".to_owned())
}

/// A layer, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedLayer<'a> {
    digest: String,
    kind: &'a str,
    bytes: u64,
    entries: u64,
    unused_seconds: u64,
    in_use: bool,
}

/// What room the store takes, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageReport {
    directory: String,
    layers: u64,
    bytes: u64,
    bytes_in_use: u64,
    entries: u64,
    most_bytes: Option<u64>,
}

/// What was removed, in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PrunedReport {
    layers: u64,
    bytes: u64,
    bytes_in_use: u64,
}

/// What came of looking at a layer, in JSON.
#[derive(Serialize)]
struct VerifiedReport<'a> {
    digest: String,
    kind: &'a str,
    entries: u64,
    unread: u64,
    damage: &'a [String],
    removed: bool,
}

/// Runs a command.
pub(super) async fn run(
    command: &StoreCommand,
    registry: &RegistryArguments,
) -> Result<u8, Failure> {
    let store = Context::open(registry)?.layer_store()?;
    match command {
        StoreCommand::List(arguments) => list(&store, arguments.format),
        StoreCommand::Usage(arguments) => usage(&store, arguments.format),
        StoreCommand::Prune(arguments) => prune(store, arguments).await,
        StoreCommand::Verify(arguments) => verify(store, arguments).await,
    }
}

/// The time, by which it is told what was used longest ago.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the edge at which time is taken"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

fn failed<E: std::error::Error>(error: E) -> Failure {
    Failure::new("cannot use the store of unpacked layers", error.to_string())
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Layer => "layer",
        Kind::Adjustment => "adjustment",
        Kind::Package => "package",
    }
}

fn list(store: &LayerStore, format: Format) -> Result<u8, Failure> {
    let now = now();
    let layers = store.list().map_err(failed)?;
    let unused = |layer: &KeptLayer| now.duration_since(layer.last_used).unwrap_or_default();
    match format {
        Format::Json => {
            let layers: Vec<_> = layers
                .iter()
                .map(|layer| ListedLayer {
                    digest: layer.digest.to_string(),
                    kind: word(layer.kind),
                    bytes: layer.bytes,
                    entries: layer.entries,
                    unused_seconds: unused(layer).as_secs(),
                    in_use: layer.in_use,
                })
                .collect();
            output::json(&layers)?;
        }
        Format::Text if layers.is_empty() => output::note("the store is empty"),
        Format::Text => {
            let lines: Vec<String> = layers
                .iter()
                .map(|layer| {
                    let used = match layer.in_use {
                        true => "in use".to_owned(),
                        false => format!("{} ago", age(unused(layer))),
                    };
                    let other = match layer.kind {
                        Kind::Layer => "",
                        Kind::Adjustment => "  (directories and links between layers)",
                        Kind::Package => "  (a package's files)",
                    };
                    format!(
                        "{}  {:>9}  {:>8} entries  {used}{other}",
                        layer.digest,
                        bytes(layer.bytes),
                        layer.entries
                    )
                })
                .collect();
            output::result(&lines.join("\n"))?;
        }
    }
    Ok(exit_code::DONE)
}

/// A time in its largest unit.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

fn usage(store: &LayerStore, format: Format) -> Result<u8, Failure> {
    let Usage {
        layers,
        bytes: room,
        entries,
        bytes_in_use,
    } = store.usage().map_err(failed)?;
    match format {
        Format::Json => output::json(&UsageReport {
            directory: store.path().display().to_string(),
            layers,
            bytes: room,
            bytes_in_use,
            entries,
            most_bytes: store.most_bytes(),
        })?,
        Format::Text => {
            let limit = match store.most_bytes() {
                None => "no limit: `most-bytes` in [store] of your ohoci/config.toml sets one"
                    .to_owned(),
                Some(most) => format!("at most {} stay", bytes(most)),
            };
            output::result(&format!(
                "{}\n{layers} layers, {entries} entries, {} on the disk, {} of it in use\n{limit}",
                store.path().display(),
                bytes(room),
                bytes(bytes_in_use),
            ))?;
        }
    }
    Ok(exit_code::DONE)
}

async fn prune(store: LayerStore, arguments: &PruneArguments) -> Result<u8, Failure> {
    let what = &arguments.what;
    let retention = match (what.keep, what.unused_for) {
        (Some(most), _) => Retention::Bytes(most),
        (None, Some(time)) => {
            Retention::UsedSince(now().checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH))
        }
        (None, None) => Retention::Nothing,
    };
    let pruned = tokio::task::spawn_blocking(move || store.prune(retention));
    let Pruned {
        layers,
        bytes: room,
        bytes_in_use,
    } = pruned.await.map_err(failed)?.map_err(failed)?;
    match arguments.format {
        Format::Json => output::json(&PrunedReport {
            layers,
            bytes: room,
            bytes_in_use,
        })?,
        Format::Text => {
            output::result(&format!("{layers} layers removed, {} freed", bytes(room)))?;
            if bytes_in_use > 0 {
                output::note(&format!(
                    "{} stay because something uses them",
                    bytes(bytes_in_use)
                ));
            }
        }
    }
    Ok(exit_code::DONE)
}

async fn verify(store: LayerStore, arguments: &VerifyArguments) -> Result<u8, Failure> {
    let (repair, is_text) = (arguments.repair, arguments.format == Format::Text);
    let verified = tokio::task::spawn_blocking(move || {
        store.verify(repair, &mut |verified| {
            if is_text && !verified.damage.is_empty() {
                tell(verified);
            }
        })
    });
    let verified = verified.await.map_err(failed)?.map_err(failed)?;
    let damaged = verified.iter().filter(|layer| !layer.damage.is_empty());
    let left = damaged.clone().filter(|layer| !layer.removed).count();
    match arguments.format {
        Format::Json => {
            let layers: Vec<_> = verified
                .iter()
                .map(|layer| VerifiedReport {
                    digest: layer.digest.to_string(),
                    kind: word(layer.kind),
                    entries: layer.entries,
                    unread: layer.unread,
                    damage: &layer.damage,
                    removed: layer.removed,
                })
                .collect();
            output::json(&layers)?;
        }
        Format::Text => {
            let unread: u64 = verified.iter().map(|layer| layer.unread).sum();
            let entries: u64 = verified.iter().map(|layer| layer.entries).sum();
            let entries = entries.saturating_sub(unread);
            output::result(&format!(
                "{} layers, {entries} entries compared; {} damaged, {} removed",
                verified.len(),
                damaged.clone().count(),
                damaged.clone().count() - left
            ))?;
            if unread > 0 {
                output::warning(&format!(
                    "{unread} entries were not compared: their permissions do not allow it"
                ));
            }
            if left > 0 && !repair {
                output::note("--repair removes what is damaged, so that it is unpacked again");
            }
        }
    }
    Ok(match left {
        0 => exit_code::DONE,
        _ => exit_code::FAILED,
    })
}

/// Says what is wrong with a layer.
fn tell(layer: &Verified) {
    let what = match layer.removed {
        true => "damaged, and removed",
        false => "damaged",
    };
    output::warning(&format!(
        "{} is {what}: {}",
        layer.digest,
        layer.damage.join("; ")
    ));
}
