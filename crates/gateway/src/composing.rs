//! From a base to the documents of what is composed on it: one flight for each, answers from memory
//! while they are fresh, and what was known before where a registry does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use futures_util::StreamExt as _;
use ohoci_compose::compose::{Documents as Composed, documents_of};
use ohoci_compose::job::Job;
use ohoci_compose::plan::Need;
use ohoci_compose::resolver::Resolver;
use ohoci_compose::{Observer, Unwatched};
use ohoci_image::{Digest, RegistryReference};
use ohoci_registry::Client;
use ohoci_server::{Refusal, RefusalKind};
use ohoci_store::cache::Cache;
use ohoci_store::{Error, ErrorKind};
use parking_lot::Mutex;
use quick_cache::sync::Cache as Memory;
use tempfile::TempDir;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::compact::CompactDigest;
use crate::documents::{Documents, MAX_DOCUMENT};
use crate::flights::Flights;
use crate::listed::Listed;
use crate::numbers::Numbers;
use crate::refusal::{Wanted, is_passing, refusal};
use crate::rules::Ready;

/// How many names are remembered.
const NAMES: usize = 200_000;

/// How many images are composed at once.
const AT_ONCE: usize = 32;

/// How long a refusal holds, so that whoever asks again and again asks no registry.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// How long a registry is waited for where an earlier answer is known.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the cache knows names of this process's making by, instead of a registry.
const REMEMBERED_AS: &str = "ohoci-gateway";

/// What is known of a name.
#[derive(Clone, Debug)]
struct Known {
    at: Instant,
    answer: Result<CompactDigest, Box<Refusal>>,
}

impl Known {
    fn since_now(answer: &Result<Digest, Refusal>) -> Self {
        Self {
            at: Instant::now(),
            answer: match answer {
                Ok(digest) => Ok(CompactDigest::of(digest)),
                Err(refused) => Err(Box::new(refused.clone())),
            },
        }
    }

    /// The image that it is.
    fn image(&self) -> Option<Digest> {
        self.answer.as_ref().ok()?.digest()
    }
}

/// A rule, and what is shared by all that it composes.
#[derive(Debug)]
pub(crate) struct Composing {
    pub(crate) ready: Ready,
    /// What it gave out, or may give out.
    pub(crate) documents: Arc<Documents>,
    /// What its bases' indexes list.
    pub(crate) listed: Listed,
    /// Opens base and deps. It remembers deps images, and is made anew when those are no longer fresh.
    resolver: Mutex<(Instant, Arc<Resolver>)>,
    known: Memory<Box<str>, Known>,
    flights: Flights<Result<Digest, Refusal>>,
}

/// What all rules share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// What was given out is on the disk before a client has it.
    pub(crate) cache: Arc<Cache>,
    /// The same cache for what was read, which is written behind the answer.
    read: Arc<Cache>,
    pub(crate) numbers: Numbers,
    turns: Arc<Semaphore>,
}

impl Shared {
    pub(crate) fn new(client: Client, cache: Arc<Cache>, read: Arc<Cache>) -> Self {
        Self {
            client,
            cache,
            read,
            numbers: Numbers::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Composing {
    pub(crate) fn new(ready: Ready, documents: Arc<Documents>, resolver: Resolver) -> Self {
        Self {
            ready,
            documents,
            listed: Listed::default(),
            resolver: Mutex::new((Instant::now(), Arc::new(resolver))),
            known: Memory::new(NAMES),
            flights: Flights::default(),
        }
    }

    /// What opens base and deps.
    pub(crate) fn resolver(&self, shared: &Shared) -> Arc<Resolver> {
        let mut resolver = self.resolver.lock();
        if resolver.0.elapsed() > self.ready.rule.fresh {
            let anew = resolver.1.anew(Arc::clone(&shared.read));
            *resolver = (Instant::now(), Arc::new(anew));
        }
        Arc::clone(&resolver.1)
    }

    /// How many names are remembered, and how many are being made.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.known.len(), self.flights.count())
    }

    /// The tags of a repository that are remembered.
    pub(crate) fn known_tags(&self, repository: &RegistryReference) -> Vec<RegistryReference> {
        let prefix = repository.name();
        let bases = self.known.iter().filter_map(|(base, known)| {
            // There are very many, and nearly all are of other repositories.
            (known.answer.is_ok() && base.starts_with(&prefix)).then_some(())?;
            let base: RegistryReference = base.parse().ok()?;
            (base.name() == prefix).then_some(base)
        });
        bases.collect()
    }

    /// The digest of what is composed on a base. Its documents are among the rule's then.
    pub(crate) async fn digest(
        &self,
        base: &RegistryReference,
        shared: &Shared,
    ) -> Result<Digest, Refusal> {
        let key = base.to_string();
        if let Some(answer) = self.fresh(&key).await {
            return answer;
        }
        self.flights
            .join(&key, async {
                // It may have become known while this waited for the last flight to end.
                if let Some(answer) = self.fresh(&key).await {
                    return answer;
                }
                let answer = Box::pin(self.ask(base, &key, shared)).await;
                let known = Known::since_now(&answer);
                self.known.insert(key.as_str().into(), known);
                answer
            })
            .await
    }

    async fn fresh(&self, key: &str) -> Option<Result<Digest, Refusal>> {
        let known = self.known.get(key)?;
        let holds = match known.answer {
            Ok(_) => self.ready.rule.fresh,
            Err(_) => REFUSED_FOR,
        };
        if known.at.elapsed() > holds {
            return None;
        }
        if let Err(refused) = known.answer {
            return Some(Err(*refused));
        }
        let digest = known.image()?;
        // Documents make room for others.
        self.documents.get(&digest).await?;
        Some(Ok(digest))
    }

    /// What was last known of a name, by this process or an earlier one, if its documents are there.
    async fn remembered(&self, key: &str, shared: &Shared) -> Option<Digest> {
        let digest = match self.known.get(key).and_then(|known| known.image()) {
            Some(digest) => digest,
            None => {
                let rule = self.ready.fingerprint.to_string();
                shared.cache.reference(REMEMBERED_AS, &rule, key)?
            }
        };
        self.documents.manifest(&digest).await?;
        Some(digest)
    }

    async fn ask(
        &self,
        base: &RegistryReference,
        key: &str,
        shared: &Shared,
    ) -> Result<Digest, Refusal> {
        let remembered = self.remembered(key, shared).await;
        // The semaphore is never closed. Work that took too long still has its turn.
        let turn = Arc::clone(&shared.turns).acquire_owned().await.ok();
        let composing = self.compose(base, key, shared, turn);
        let outcome = match &remembered {
            None => composing.await,
            Some(_) => tokio::time::timeout(TIMEOUT, composing)
                .await
                .unwrap_or_else(|_| {
                    Err(Error::new(
                        ErrorKind::Unreachable,
                        format!("cannot read {base}"),
                        format!("there was no answer within {} s", TIMEOUT.as_secs()),
                    ))
                }),
        };
        match (outcome, remembered) {
            (Ok(digest), _) => {
                shared.numbers.composed.add(1);
                Ok(digest)
            }
            (Err(error), Some(digest)) if is_passing(&error) => {
                shared.numbers.outdated_answers.add(1);
                tracing::warn!(
                    %base, %digest, %error,
                    "answering what was composed before, since the registry does not answer"
                );
                Ok(digest)
            }
            (Err(error), _) => {
                shared.numbers.refused.add(1);
                tracing::warn!(%base, rule = self.ready.rule.title, %error, "cannot compose");
                Err(refusal(&error, Wanted::Manifest))
            }
        }
    }

    async fn compose(
        &self,
        base: &RegistryReference,
        key: &str,
        shared: &Shared,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<Digest, Error> {
        let work = Work {
            base: base.clone(),
            key: key.to_owned(),
            resolver: self.resolver(shared),
            documents: Arc::clone(&self.documents),
            cache: Arc::clone(&shared.cache),
            rule: self.ready.fingerprint.to_string(),
            most_bytes: self.ready.rule.most_bytes,
        };
        // What is made for this base alone goes away with this directory.
        let all = &self.ready.job.work_dir;
        let own = match self.ready.makes_files() {
            true => Some(
                tempfile::tempdir_in(all)
                    .map_err(|error| Error::io("cannot make a temporary directory", error))?,
            ),
            false => None,
        };
        let directory = own.as_ref().map_or(all.as_path(), TempDir::path);
        let job = self.ready.job_on(base, directory.to_owned());
        // Work that is no longer waited for goes on with its turn and its directory.
        apart(move || async move {
            let _held = (turn, own);
            work.run(&job).await
        })
        .await
    }

    /// Makes known what was asked for and cannot be answered, unless more is known.
    pub(crate) fn not_here(what: &str, name: &str, wanted: Wanted) -> Refusal {
        let kind = match wanted {
            Wanted::Manifest => RefusalKind::ManifestUnknown,
            Wanted::Blob => RefusalKind::BlobUnknown,
        };
        Refusal::new(
            kind,
            format!("{name} has no {what}, and nothing that is composed there has it"),
        )
    }
}

/// Composing on one base, with everything that it takes.
struct Work {
    base: RegistryReference,
    /// What the result is remembered by.
    key: String,
    resolver: Arc<Resolver>,
    documents: Arc<Documents>,
    cache: Arc<Cache>,
    rule: String,
    most_bytes: Option<u64>,
}

impl Work {
    /// Composes, and keeps what came of it.
    async fn run(&self, job: &Job) -> Result<Digest, Error> {
        let observer: Arc<dyn Observer> = Arc::new(Unwatched);
        let composed = documents_of(job, &self.resolver, &observer).await?;
        self.expect_size(&composed)?;
        for need in composed.layers.iter().filter(|need| need.local) {
            self.keep_layer(need).await?;
        }
        for (descriptor, bytes) in &composed.configs {
            self.documents.put(&descriptor.digest, bytes);
        }
        for manifest in composed.manifests.iter().chain([&composed.root]) {
            self.documents.put(manifest.digest(), manifest.bytes());
        }
        for warning in &composed.warnings {
            tracing::debug!(base = %self.base, warning);
        }
        let digest = composed.root.digest();
        self.cache
            .remember_reference(REMEMBERED_AS, &self.rule, &self.key, digest);
        Ok(digest.clone())
    }

    fn expect_size(&self, composed: &Composed) -> Result<(), Error> {
        let Some(most) = self.most_bytes else {
            return Ok(());
        };
        let sizes = composed.layers.iter().map(|need| need.descriptor.size);
        let size = sizes.fold(0_u64, u64::saturating_add);
        if size <= most {
            return Ok(());
        }
        let why = format!("its layers have {size} bytes together; at most {most} are allowed here");
        Err(self.unsupported(why))
    }

    async fn keep_layer(&self, need: &Need) -> Result<(), Error> {
        let digest = &need.descriptor.digest;
        if self.documents.get(digest).await.is_some() {
            return Ok(());
        }
        let size = need.descriptor.size;
        if size > MAX_DOCUMENT {
            return Err(self.unsupported(format!("a layer that is made for it has {size} bytes")));
        }
        let reading = |error| Error::reading("cannot read a layer that was just made", error);
        let mut stream = need.body.open(0).await.map_err(reading)?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.map_err(reading)?);
        }
        self.documents.put(digest, &bytes.freeze());
        Ok(())
    }

    fn unsupported(&self, why: String) -> Error {
        let what = format!("cannot compose on {}", self.base);
        Error::new(ErrorKind::Unsupported, what, why)
    }
}

/// Does work on a thread of its own: reading images is a future that stays on the thread where it was
/// begun, and requests are served on any.
pub(crate) async fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>>,
{
    let runtime = tokio::runtime::Handle::current();
    let done = tokio::task::spawn_blocking(move || runtime.block_on(work())).await;
    done.unwrap_or_else(|error| {
        Err(Error::new(
            ErrorKind::Io,
            "cannot read images",
            error.to_string(),
        ))
    })
}
