//! An image's layers on their way into the store: downloaded, decompressed, verified and unpacked at
//! the same time, and side by side.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::io::{StreamReader, SyncIoBridge};

use ohoci_compose::Event;
use ohoci_compose::compose::ImageLayer;
use ohoci_image::Digest;
use ohoci_layer::limits::Budget;
use ohoci_layer::read_changes;
use ohoci_store::{BodyError, Error, ErrorKind};

use super::failure::Failure;
use super::members;
use super::prune::Retention;
use super::stack::Stack;
use super::store::{Asked, Held, Kind, LayerStore, Making};
use super::write::{Staging, write};

/// Brings layers, lowest first, into the store, where they are not there yet, and gives what an
/// overlay of them is mounted from. `what` is what is being done, for messages: `cannot run
/// registry.example/a:b`.
///
/// As many layers are worked on at the same time as this machine has processors. One that another
/// process is unpacking is waited for.
///
/// # Errors
/// When a layer cannot be read, is not the one that the image's config means, holds something that has
/// no place, or cannot be written.
pub async fn keep(store: &LayerStore, layers: Vec<ImageLayer>, what: &str) -> Result<Stack, Error> {
    let budget = Arc::new(Budget::new(store.limits()));
    let processors = std::thread::available_parallelism().map_or(2, NonZero::get);
    let turns = Semaphore::new(processors);
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let mut seen = HashSet::new();
    let each = layers
        .into_iter()
        .filter(|layer| seen.insert(layer.diff_id.clone()));
    let kept = try_join_all(each.map(|layer| one(store, layer, &budget, &turns, what))).await?;
    let new = kept.iter().filter(|(_, _, is_new)| *is_new);
    let unpacked: Vec<Digest> = new.map(|(diff_id, _, _)| diff_id.clone()).collect();
    let is_new = !unpacked.is_empty();
    let held: HashMap<Digest, Held> = kept
        .into_iter()
        .map(|(diff_id, held, _)| (diff_id, held))
        .collect();
    let store = store.clone();
    let built = tokio::task::spawn_blocking(move || {
        let stack = Stack::build(&store, held, diff_ids, unpacked)?;
        if let (true, Some(most)) = (is_new, store.most_bytes()) {
            // What cannot be removed now can be the next time.
            let _ = store.prune(Retention::Bytes(most));
        }
        Ok(stack)
    });
    built
        .await
        .map_err(|error| Error::new(ErrorKind::Io, what, error.to_string()))?
        .map_err(|failure: Failure| failure.into_error(what))
}

async fn one(
    store: &LayerStore,
    layer: ImageLayer,
    budget: &Arc<Budget>,
    turns: &Semaphore,
    what: &str,
) -> Result<(Digest, Held, bool), Error> {
    let io = |error| Error::io(what, error);
    let making = match store.asked(Kind::Layer, &layer.diff_id).await.map_err(io)? {
        Asked::There(held) => return Ok((layer.diff_id, held, false)),
        Asked::Missing(making) => making,
    };
    let observer = store.observer();
    observer.event(&Event::Step(format!("unpacking {}", short(&layer.diff_id))));
    observer.event(&Event::Expect(layer.size));
    let _turn = turns
        .acquire()
        .await
        .map_err(|error| Error::new(ErrorKind::Io, what, error.to_string()))?;
    let failed =
        |error: BodyError| Error::reading(format!("{what}: layer {}", layer.diff_id), error);
    let stream = layer.body.open(0).await.map_err(failed)?;
    // What reads tars knows no other errors than those of files.
    let failure: Arc<Mutex<Option<BodyError>>> = Arc::default();
    let slot = Arc::clone(&failure);
    let stream = stream.inspect_err(move |error| *slot.lock() = Some(error.clone()));
    let observer = Arc::clone(observer);
    let stream = stream.inspect_ok(move |bytes| {
        let moved = u64::try_from(bytes.len()).unwrap_or_default();
        observer.event(&Event::Moved(moved));
    });
    let reader = SyncIoBridge::new(StreamReader::new(stream));
    // A thread cannot be dropped like a future: it is told to stop, and cleans up itself.
    let wanted = Wanted(Arc::new(AtomicBool::new(true)));
    let reader = Stoppable {
        inner: reader,
        wanted: Arc::clone(&wanted.0),
    };
    let (store, budget) = (store.clone(), Arc::clone(budget));
    let diff_id = layer.diff_id.clone();
    let unpacked =
        tokio::task::spawn_blocking(move || unpack(&store, making, &diff_id, reader, &budget))
            .await
            .map_err(|error| Error::new(ErrorKind::Io, what, error.to_string()))?;
    match (unpacked, failure.lock().take()) {
        (Ok(held), _) => Ok((layer.diff_id, held, true)),
        (Err(_), Some(error)) => Err(failed(error)),
        (Err(failure), None) => {
            Err(failure.into_error(&format!("{what}: layer {}", layer.diff_id)))
        }
    }
}

/// The start of a digest, for people.
fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(19).collect()
}

/// Says that the layer is not wanted any more, when it is dropped.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

struct Stoppable<R> {
    inner: R,
    wanted: Arc<AtomicBool>,
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.wanted.load(Ordering::Relaxed) {
            true => self.inner.read(buffer),
            false => Err(io::Error::other("it was interrupted")),
        }
    }
}

fn unpack<R: Read>(
    store: &LayerStore,
    making: Making,
    diff_id: &Digest,
    mut reader: Stoppable<R>,
    budget: &Arc<Budget>,
) -> Result<Held, Failure> {
    let made = store.unfinished()?;
    let (files, contents) = (made.path().join("files"), made.path().join("contents"));
    fs_err::create_dir(&files)?;
    fs_err::create_dir(&contents)?;
    let mut staging = Staging::open(&contents)?;
    let mut keep = |entry: &_, size, input: &mut dyn Read| staging.take(entry, size, input);
    let changes = read_changes(&mut reader, diff_id, budget, &mut keep).map_err(Failure::Layer)?;
    // What stands behind the end counts for the digest of the blob, too.
    io::copy(&mut reader, &mut io::sink())?;
    let wanted = Arc::clone(&reader.wanted);
    let proceed = || wanted.load(Ordering::Relaxed);
    let (record, dependent) =
        write(&changes, &staging, made.path(), &files, &proceed).map_err(Failure::Write)?;
    // Contents that were replaced by others in the same layer are left.
    ohoci_sandbox::remove::remove(&contents)?;
    dependent.write(made.path())?;
    members::write(&changes, made.path())?;
    Ok(store.finish(making, made, &record)?)
}
