//! Packages linked into a prefix from a store in which each is unpacked once for prefixes of that name.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::archive;
use super::error::{CondaError, CondaErrorKind};
use super::packages::Fetched;
use super::source::CondaSource;
use crate::archive::Spool;
use ohoci_conda::link::{Linked, Placed, Python, join, place};
use ohoci_conda::package::Package;
use ohoci_image::Digest;
use ohoci_layer::{Content, Directory, LayerPath};
use ohoci_node::{AskedPackage, KeptPackage, LayerStore};
use ohoci_unpack::UnpackError;

/// The version of a package's key in the store: it changes when a package's files are placed, or noted, in another
/// way.
const VERSION: u32 = 1;

/// How many bytes of small files stay in memory between being read and being written.
const MEMORY: u64 = 128 << 20;

/// A prefix that is to be written: its files are in the store, and stay there as long as this lasts.
#[derive(Debug)]
pub struct LinkedPrefix {
    /// What is in it.
    pub linked: Linked,
    /// The keys of packages that were not in the store before.
    pub unpacked: Vec<Digest>,
    _kept: Vec<KeptPackage>,
}

impl LinkedPrefix {
    /// Writes the prefix into an empty directory, with hard links to the store's files where that is in the same
    /// file system: nothing may change them there. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(self, directory: &Path) -> Result<(), UnpackError> {
        ohoci_unpack::link(self.linked.tree, directory, &|| true).map(drop)
    }
}

/// A package in the store.
struct InStore {
    placed: Placed,
    kept: KeptPackage,
    /// Its key, if it was unpacked now.
    unpacked: Option<Digest>,
}

impl CondaSource {
    /// Links packages into a prefix, which is called `prefix`, an absolute path. Packages that are not in the store
    /// yet are unpacked into it. Blocks.
    ///
    /// # Errors
    /// A package whose file is damaged, means harm, or cannot be linked there.
    pub fn link(
        &self,
        fetched: &[Fetched],
        prefix: &str,
        store: &LayerStore,
    ) -> Result<LinkedPrefix, CondaError> {
        let records = fetched.iter().map(|one| &one.located.record);
        let python = Python::among(records).map_err(cannot_link)?;
        let means = Means {
            source: self,
            prefix,
            python: python.as_ref(),
            store,
            spool: parking_lot::Mutex::default(),
        };
        // The largest first: at the end no thread is left alone with one.
        let mut order: Vec<usize> = (0..fetched.len()).collect();
        let size = |at: &usize| fetched.get(*at).and_then(|one| one.located.record.size);
        order.sort_by_key(|at| std::cmp::Reverse(size(at)));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let taken = order.get(next.fetch_add(1, Ordering::Relaxed));
                let Some((at, one)) = taken.and_then(|at| Some((*at, fetched.get(*at)?))) else {
                    return done;
                };
                done.push((at, means.in_store(one)));
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut all: Vec<(usize, Result<InStore, CondaError>)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let done = workers.into_iter().filter_map(|worker| worker.join().ok());
            own.into_iter().chain(done.flatten()).collect()
        });
        all.sort_by_key(|(at, _)| *at);
        if all.len() != fetched.len() {
            return Err(malformed("a package", "reading it failed"));
        }
        let mut packages = Vec::with_capacity(all.len());
        let (mut kept, mut unpacked) = (Vec::new(), Vec::new());
        for (one, (_, found)) in fetched.iter().zip(all) {
            let found = found?;
            packages.push((one.located.clone(), found.placed));
            kept.push(found.kept);
            unpacked.extend(found.unpacked);
        }
        if !unpacked.is_empty() {
            store.make_room();
        }
        Ok(LinkedPrefix {
            linked: join(packages).map_err(cannot_link)?,
            unpacked,
            _kept: kept,
        })
    }
}

/// What packages are placed with.
struct Means<'a> {
    source: &'a CondaSource,
    prefix: &'a str,
    python: Option<&'a Python>,
    store: &'a LayerStore,
    /// Where contents wait, once something is unpacked.
    spool: parking_lot::Mutex<Option<Arc<Spool>>>,
}

impl Means<'_> {
    fn in_store(&self, fetched: &Fetched) -> Result<InStore, CondaError> {
        let record = &fetched.located.record;
        let python = self.python.filter(|_| Python::decides_for(record));
        let python = python.map(Python::key).unwrap_or_default();
        let (digest, prefix) = (&fetched.digest, self.prefix);
        let key = format!("conda package {VERSION}\n{digest}\n{prefix}\n{python}\n");
        let key = Digest::of(key.as_bytes());
        let of_package = |why: String| malformed(fetched.located.path(), why);
        let in_store = |error: std::io::Error| {
            of_package(format!(
                "the store of unpacked packages has it not: {error}"
            ))
        };
        let (kept, unpacked) = match self.store.package(&key).map_err(in_store)? {
            AskedPackage::There(kept) => (kept, None),
            AskedPackage::Missing(unpacking) => {
                let placed = self.place(fetched)?;
                let note = placed
                    .note()
                    .map_err(|error| of_package(error.to_string()))?;
                let kept = unpacking.keep(self.store, placed.entries(), &note);
                (kept.map_err(in_store)?, Some(key))
            }
        };
        let note = kept.note().map_err(in_store)?;
        let directory = Arc::new(Directory::open(&kept.files()).map_err(in_store)?);
        let content = |path: &LayerPath, size| Content::File {
            directory: Arc::clone(&directory),
            path: PathBuf::from(OsStr::from_bytes(path.as_bytes())),
            size,
        };
        let placed = Placed::of_note(&note, &content);
        Ok(InStore {
            placed: placed.map_err(|error| of_package(error.to_string()))?,
            kept,
            unpacked,
        })
    }

    /// A package's files, from its file in the cache.
    fn place(&self, fetched: &Fetched) -> Result<Placed, CondaError> {
        let package = self.read(fetched);
        let package = package.map_err(|why| malformed(fetched.located.path(), why))?;
        let record = &fetched.located.record;
        let python = self.python.filter(|_| Python::decides_for(record));
        place(record, &package, self.prefix, python).map_err(cannot_link)
    }

    fn read(&self, fetched: &Fetched) -> Result<Package, String> {
        let path = self.source.fetcher.cache().path_of(&fetched.digest);
        let path = path.ok_or_else(|| "it is no longer in the cache".to_owned())?;
        let file = fs_err::File::open(path).map_err(|error| error.to_string())?;
        let spool = self.spool()?;
        let tree = archive::read(file, fetched.digest.hex(), &spool);
        let tree = tree.map_err(|error| error.to_string())?;
        Package::read(tree).map_err(|error| error.to_string())
    }

    fn spool(&self) -> Result<Arc<Spool>, String> {
        let mut spool = self.spool.lock();
        if let Some(spool) = &*spool {
            return Ok(Arc::clone(spool));
        }
        let made = Spool::create_with_memory(&self.source.work_dir, MEMORY);
        let made = Arc::new(made.map_err(|error| format!("cannot spool files: {error}"))?);
        *spool = Some(Arc::clone(&made));
        Ok(made)
    }
}

fn malformed(what: impl Into<String>, why: impl std::fmt::Display) -> CondaError {
    CondaError::new(CondaErrorKind::Malformed, what, why)
}

fn cannot_link(error: ohoci_conda::link::LinkError) -> CondaError {
    malformed("cannot link packages", error)
}
