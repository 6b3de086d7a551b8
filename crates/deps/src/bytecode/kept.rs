//! What interpreters have listed and compiled, kept in the cache.

use std::io::{self, Read as _, Seek as _};

use serde_json::Value;

use super::compile::Interpreter;
use super::shown::{Shown, shown};
use super::sources::{Chunk, chunks, listed};
use super::tree::{apart, modules, tree};
use super::{BytecodeError, Job, Wanted, key};
use crate::archive::Spool;
use crate::assemble::digest_of;
use ohoci_image::Digest;
use ohoci_layer::Tree;
use ohoci_store::cache::Cache;

/// What the cache calls a list of sources, by what decided it.
const LIST: &str = "bytecode-list";
/// The list that a recipe had last.
const LAST: &str = "bytecode-last-list";
/// The compiled modules of a chunk of sources.
const MODULES: &str = "bytecode-modules";

/// The compiled modules of a job, as [`tree()`] makes a layer of them. Which modules there are and what each
/// chunk of them came to is taken from the cache where it was made of the same inputs; the rest is made
/// now in a sandbox, and is kept if it can be used.
///
/// # Errors
/// When the sandbox cannot be set up, the interpreter fails, or what it made cannot be used.
pub(crate) async fn compiled(
    job: &Job<'_>,
    wanted: &Wanted<'_>,
    cache: &Cache,
    interpreter: Interpreter<'_>,
) -> Result<Tree, BytecodeError> {
    let failed = BytecodeError::io("compile modules");
    let spool = Spool::create(wanted.spool_dir).map_err(&failed)?;
    let shown = shown(job)?;
    let compiler = key::of_compiler(&shown).map_err(&failed)?;
    let kept = Kept {
        cache,
        compiler,
        spool,
    };
    let chunks = kept.chunks(job, &shown, interpreter).await?;
    let mut modules = Vec::new();
    let mut missing = Vec::new();
    for (at, chunk) in chunks.iter().enumerate() {
        match kept.modules(chunk)? {
            Some(found) => modules.push(found),
            None => missing.push((at, chunk)),
        }
    }
    if !missing.is_empty() {
        let asked: Vec<&Chunk> = missing.iter().map(|(_, chunk)| *chunk).collect();
        let made = interpreter.compile(&shown, &asked).await?;
        for (chunk, archive) in asked.into_iter().zip(made) {
            modules.push(kept.made(chunk, archive)?);
        }
    }
    tree(&modules, wanted)
}

/// What is kept for one compiler.
struct Kept<'a> {
    cache: &'a Cache,
    /// The [key](key::of_compiler()) of what compiles.
    compiler: Digest,
    spool: Spool,
}

impl Kept<'_> {
    /// The sources of a job, in chunks.
    async fn chunks(
        &self,
        job: &Job<'_>,
        shown: &Shown,
        interpreter: Interpreter<'_>,
    ) -> Result<Vec<Chunk>, BytecodeError> {
        let failed = BytecodeError::io("compile modules");
        let key = key::of_list(job, shown).map_err(&failed)?.to_string();
        if let Some(list) = self.bytes(LIST, &key) {
            return chunks(&listed(&list, &shown.importing).0, &shown.importing);
        }
        // Most of what was compiled for the list before is as it was.
        let recipe = key::of_recipe(job).to_string();
        let last = self.bytes(LAST, &recipe).unwrap_or_default();
        let mut known = Vec::new();
        for chunk in chunks(&listed(&last, &shown.importing).0, &shown.importing)? {
            known.extend(self.modules(&chunk)?);
        }
        let list = interpreter.list(job, shown, apart(&known)?).await?;
        let (paths, all) = listed(&list, &shown.importing);
        if !all {
            let why = "what was listed are not sources of modules".to_owned();
            return Err(BytecodeError::Unexpected(why));
        }
        for (kind, key) in [(LIST, &key), (LAST, &recipe)] {
            self.keep(kind, key, &mut list.as_slice())
                .map_err(&failed)?;
        }
        chunks(&paths, &shown.importing)
    }

    /// The modules of a chunk, where they are kept.
    fn modules(&self, chunk: &Chunk) -> Result<Option<Tree>, BytecodeError> {
        let key = self.key(chunk)?;
        let archive = self.find(MODULES, &key);
        Ok(archive.and_then(|archive| modules(archive, chunk, &self.spool).ok()))
    }

    /// The modules of a chunk, which are new and kept from now on.
    fn made(&self, chunk: &Chunk, mut archive: fs_err::File) -> Result<Tree, BytecodeError> {
        let failed = BytecodeError::io("keep compiled modules");
        let again = archive.try_clone().map_err(&failed)?;
        let found = modules(again, chunk, &self.spool)?;
        archive.rewind().map_err(&failed)?;
        self.keep(MODULES, &self.key(chunk)?, &mut archive)
            .map_err(failed)?;
        Ok(found)
    }

    fn key(&self, chunk: &Chunk) -> Result<String, BytecodeError> {
        let key = key::of_chunk(&self.compiler, chunk);
        Ok(key.map_err(BytecodeError::io("read a source"))?.to_string())
    }

    fn find(&self, kind: &str, key: &str) -> Option<fs_err::File> {
        let fact = self.cache.fact(kind, key)?;
        let digest: Digest = fact.as_str()?.parse().ok()?;
        let mut file = fs_err::File::open(self.cache.path_of(&digest)?).ok()?;
        let found = digest_of(&mut file, &digest).ok()?;
        (found == digest).then_some(file)
    }

    fn bytes(&self, kind: &str, key: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.find(kind, key)?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Keeps something for later runs, where there is a cache.
    fn keep(&self, kind: &str, key: &str, content: &mut impl io::Read) -> io::Result<()> {
        let Some(mut staged) = self.cache.stage() else {
            return Ok(());
        };
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = content.read(&mut buffer)?;
            match buffer.get(..count) {
                Some(piece) if !piece.is_empty() => {
                    // The cache has told why by then.
                    if staged.write(piece).is_err() {
                        return Ok(());
                    }
                }
                _ => break,
            }
        }
        let digest = staged.digest();
        if self.cache.insert_file(staged, &digest).is_some() {
            self.cache
                .remember_fact(kind, key, &Value::from(digest.to_string()));
        }
        Ok(())
    }
}
