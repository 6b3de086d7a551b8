//! What a run keeps on this machine's disk, and what it lets go of when that becomes more than it may.
//!
//! Counted is what the run itself has brought there: layers and packages that were not unpacked before, and layers
//! in files that it has made, but for Pythons and histories. Not counted are clones, what pip downloads, and what is being
//! made just now.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use super::kept::KeptLayer;
use super::unpacked::Unpacked;
use ohoci_image::Digest;

/// Levels that stay in files: what is not begun yet may have the same.
const MANY: [&str; 2] = ["python", "history"];

/// What a run keeps on the disk, held to a number of bytes.
#[derive(Debug)]
pub(crate) struct Disk {
    most: u64,
    unpacked: Arc<Unpacked>,
    /// Layers of the base, which every build looks into.
    base: HashSet<Digest>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many instances are still to be built, by what they need.
    waiting: HashMap<Need, usize>,
    /// Layers in files that this run has made.
    files: HashMap<Digest, File>,
    /// What needs a layer, by its diff ID. Of those that are not here it is not known.
    needs: HashMap<Digest, Need>,
    report: DiskReport,
}

/// What a layer is needed for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Need {
    /// Instances of an environment, by the key of its lock.
    Environment(String),
    /// Instances of a repository.
    Repository(String),
    /// Instances of a repository at one commit, mostly one.
    Commit(String, String),
}

/// What an instance needs that others may need, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The key of its environment's lock.
    pub environment: String,
    /// Its repository.
    pub repository: String,
    /// Its commit.
    pub commit: String,
}

impl Needs {
    fn all(&self) -> [Need; 3] {
        let repository = || self.repository.clone();
        [
            Need::Environment(self.environment.clone()),
            Need::Repository(repository()),
            Need::Commit(repository(), self.commit.clone()),
        ]
    }
}

/// A layer in a file.
#[derive(Debug)]
struct File {
    path: PathBuf,
    size: u64,
    diff_id: Digest,
}

/// How the disk was used, and what was let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiskReport {
    /// The most bytes that there may be.
    pub budget: u64,
    /// The most bytes that stayed when a level or an instance was made.
    pub most_kept: u64,
    /// How many unpacked layers and packages were let go of. They are unpacked again where they are needed again.
    pub unpacked_layers: usize,
    /// The bytes of those.
    pub unpacked_bytes: u64,
    /// How many layers in files were let go of: those of instances that are pushed, and of environments
    /// that no instance needs any more.
    pub layers: usize,
    /// The bytes of those.
    pub layer_bytes: u64,
}

impl Disk {
    /// Holds a run to so many bytes. `base` are the diff IDs of the base, and `instances` what each of those
    /// needs that are to be built.
    pub(crate) fn new(
        most: u64,
        unpacked: Arc<Unpacked>,
        base: &[Digest],
        instances: impl Iterator<Item = Needs>,
    ) -> Self {
        let mut state = State::default();
        state.report.budget = most;
        for need in instances.flat_map(|needs| needs.all()) {
            *state.waiting.entry(need).or_default() += 1;
        }
        Self {
            most,
            unpacked,
            base: base.iter().cloned().collect(),
            state: Mutex::new(state),
        }
    }

    /// Notes a level that is there now, and makes room. Blocks.
    pub(crate) fn made(&self, layer: &KeptLayer) {
        let mut state = self.state.lock();
        let is_for_many = MANY.contains(&layer.layer.name.as_str());
        if let (Some(path), false, false) = (&layer.path, layer.from_cache, is_for_many) {
            let file = File {
                path: path.clone(),
                size: layer.size(),
                diff_id: layer.layer.diff_id.clone(),
            };
            let digest = layer.layer.descriptor.digest.clone();
            state.files.insert(digest, file);
        }
        self.make_room(&mut state);
    }

    /// Notes that an instance is pushed, or cannot be built, and makes room. `layers` are its levels, as far
    /// as it has them, with their diff IDs. Blocks.
    pub(crate) fn ended<'a>(
        &self,
        needs: &Needs,
        layers: impl Iterator<Item = (&'static str, &'a Digest)>,
    ) {
        let mut state = self.state.lock();
        let all = needs.all();
        for need in &all {
            if let Some(count) = state.waiting.get_mut(need) {
                *count = count.saturating_sub(1);
            }
        }
        for (level, diff_id) in layers {
            let [environment, repository, commit] = all.clone();
            let need = match level {
                // Environments that are not begun may have the same.
                "python" => continue,
                "environment" => environment,
                "history" => repository,
                _ => commit,
            };
            state.needs.insert(diff_id.clone(), need);
        }
        self.make_room(&mut state);
    }

    /// What came of it.
    pub(crate) fn report(&self) -> DiskReport {
        self.state.lock().report
    }

    /// Lets go of what is not needed, and then of what can be unpacked again, that used longest ago first. What
    /// cannot be removed now can be the next time.
    fn make_room(&self, state: &mut State) {
        let Ok(mut unpacked) = self.unpacked.own() else {
            return;
        };
        let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
        let mut left = sum(&mut unpacked.iter().map(|layer| layer.bytes))
            .saturating_add(sum(&mut state.files.values().map(|file| file.size)));
        let over = |left: u64| left > self.most;
        if over(left) {
            let idle: Vec<Digest> = state
                .files
                .iter()
                .filter(|(_, file)| !state.is_needed(&file.diff_id))
                .map(|(digest, _)| digest.clone())
                .collect();
            for digest in idle {
                if !over(left) {
                    break;
                }
                let Some(file) = state.files.remove(&digest) else {
                    continue;
                };
                if fs_err::remove_file(&file.path).is_ok() {
                    state.report.layers += 1;
                    state.report.layer_bytes = state.report.layer_bytes.saturating_add(file.size);
                }
                left = left.saturating_sub(file.size);
            }
        }
        // That used last is first.
        unpacked.reverse();
        unpacked.sort_by_key(|layer| state.is_needed(&layer.digest));
        for layer in unpacked {
            if !over(left) {
                break;
            }
            let stays = layer.in_use || self.base.contains(&layer.digest);
            if stays || self.unpacked.remove(&layer).is_err() {
                continue;
            }
            state.report.unpacked_layers += 1;
            state.report.unpacked_bytes = state.report.unpacked_bytes.saturating_add(layer.bytes);
            left = left.saturating_sub(layer.bytes);
        }
        state.report.most_kept = state.report.most_kept.max(left);
    }
}

impl State {
    /// Whether an instance that is not built yet may need a layer.
    fn is_needed(&self, diff_id: &Digest) -> bool {
        match self.needs.get(diff_id) {
            None => true,
            Some(need) => self.waiting.get(need).is_some_and(|count| *count > 0),
        }
    }
}
