//! Levels that are made once: found where someone has left them, or made now, and left for others.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use super::{Builder, Made};
use crate::error::{BuildError, Level, at};
use crate::kept::{self, KeptLayer};
use ohoci_layer::Tree;
use ohoci_layer::pack::PackOptions;

impl Builder {
    /// What was made under this key, by an earlier run, by another instance, or now.
    ///
    /// `make` gives a level's tree, and what has to be there as long as that is packed.
    pub(super) fn once<Lasting>(
        &self,
        key: &str,
        name: &str,
        make: impl FnOnce() -> Result<(Tree, Lasting), BuildError>,
    ) -> Result<Arc<Made>, BuildError> {
        let slot = Arc::clone(self.slots.lock().entry(key.to_owned()).or_default());
        // Held while it is made: others wait for it rather than make it, too.
        let mut slot = slot.lock();
        if let Some(known) = &*slot {
            return known.clone();
        }
        let started = Instant::now();
        let made = self.found_or_made(key, name, make).map(|layer| {
            if let Some(disk) = &self.settings.disk {
                disk.made(&layer);
            }
            Arc::new(Made {
                key: key.to_owned(),
                layer,
                seconds: started.elapsed().as_secs_f64(),
            })
        });
        *slot = Some(made.clone());
        made
    }

    /// What is shared goes before what this machine has: all are to have the same layers.
    fn found_or_made<Lasting>(
        &self,
        key: &str,
        name: &str,
        make: impl FnOnce() -> Result<(Tree, Lasting), BuildError>,
    ) -> Result<KeptLayer, BuildError> {
        let cached = kept::find(&self.settings.cache, key);
        if let Some(shared) = self.shared(key, name)? {
            let digest = &shared.layer.descriptor.digest;
            let is_same = |cached: &KeptLayer| cached.layer.descriptor.digest == *digest;
            return Ok(cached.filter(is_same).unwrap_or(shared));
        }
        let layer = match cached {
            Some(layer) => layer,
            None => self.make(key, name, make)?,
        };
        self.share(key, name, &layer)?;
        Ok(layer)
    }

    /// The level where machines share them, if one of them has left it there.
    fn shared(&self, key: &str, name: &str) -> Result<Option<KeptLayer>, BuildError> {
        let Some(levels) = &self.settings.levels else {
            return Ok(None);
        };
        let found = Handle::current().block_on(levels.find(name, key, &self.resolver));
        let found = found.map_err(|error| failed(format!("look for the level {name}"), &error))?;
        if let Some(layer) = &found {
            // What this machine has is not uploaded where it can be mounted from there.
            levels.note(&self.resolver, [&layer.layer.descriptor.digest]);
        }
        Ok(found)
    }

    /// Leaves the level where machines share them.
    fn share(&self, key: &str, name: &str, layer: &KeptLayer) -> Result<(), BuildError> {
        let Some(levels) = &self.settings.levels else {
            return Ok(());
        };
        let put = levels.put(name, key, layer, &self.resolver, &self.settings.work_dir);
        let put = Handle::current().block_on(put);
        put.map_err(|error| failed(format!("leave the level {name}"), &error))
    }

    fn make<Lasting>(
        &self,
        key: &str,
        name: &str,
        make: impl FnOnce() -> Result<(Tree, Lasting), BuildError>,
    ) -> Result<KeptLayer, BuildError> {
        let settings = &self.settings;
        let (tree, _lasting) = make()?;
        let packing = PackOptions {
            // Packs of objects are compressed already.
            level: (name == "history").then_some(1).or(settings.packing.level),
            ..settings.packing
        };
        kept::make(
            &settings.cache,
            key,
            name,
            tree,
            &packing,
            &settings.work_dir,
        )
        .map_err(at(Level::Environment, format!("pack {name}")))
    }
}

fn failed(step: String, error: &ohoci_store::Error) -> BuildError {
    let why = format!("{}: {}", error.what(), error.why());
    let failed = BuildError::new(Level::Instance, step, why);
    match error.hint() {
        Some(hint) => failed.hinted(hint),
        None => failed,
    }
}
