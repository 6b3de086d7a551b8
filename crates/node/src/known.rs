//! The layers of a store for whoever only looks at what is in them.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::OnceLock;

use ohoci_compose::layer_reader::UnpackedLayers;
use ohoci_image::Digest;
use ohoci_layer::tar_read::Member;
use ohoci_layer::{Directory, Kind};

use super::lock::Hold;
use super::members;
use super::record::{Record, as_path};
use super::store::{self, LayerStore, files_in};

/// The layers that are unpacked on a machine, if there are any: nothing is made for them.
#[derive(Debug)]
pub struct KnownLayers {
    directory: PathBuf,
    store: OnceLock<Option<LayerStore>>,
}

impl KnownLayers {
    /// Those of the store in a directory, which is opened when a layer is first looked for.
    #[must_use]
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            store: OnceLock::new(),
        }
    }

    fn store(&self) -> Option<&LayerStore> {
        let open = || {
            let is_there = LayerStore::is_in(&self.directory);
            // One that cannot be used tells nothing, and whoever needs it says why.
            is_there.then(|| LayerStore::open(&self.directory).ok())?
        };
        self.store.get_or_init(open).as_ref()
    }
}

impl UnpackedLayers for KnownLayers {
    fn members(
        &self,
        diff_id: &Digest,
        take: &mut dyn FnMut(&Member, &mut dyn Read) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(store) = self.store() else {
            return Ok(false);
        };
        let place = store.place(store::Kind::Layer, diff_id);
        if Record::read(&place)?.is_none() {
            return Ok(false);
        }
        let Some(_lock) = store.lock(store::Kind::Layer, diff_id, Hold::Shared)? else {
            return Ok(false);
        };
        let Some(all) = members::read(&place)? else {
            return Ok(false);
        };
        let files = Directory::open(&files_in(&place))?;
        for member in &all {
            match &member.entry.kind {
                Kind::File(_) if member.whiteout.is_none() => {
                    take(member, &mut files.open_file(as_path(&member.path))?)?;
                }
                _ => take(member, &mut io::empty())?,
            }
        }
        Ok(true)
    }
}
