//! Answers for names that rules match.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use ohoci_compose::resolver::Resolver;
use ohoci_image::{Digest, Manifest, Pointer, RegistryReference};
use ohoci_registry::ErrorKind as RegistryErrorKind;
use ohoci_server::{Asked, Images, Refusal, RefusalKind, ServedBlob, ServedManifest};
use ohoci_store::ErrorKind;
use ohoci_store::cache::Cache;
use ohoci_trust::policy::Policy;
use quick_cache::Weighter;
use quick_cache::sync::Cache as Memory;
use serde_json::{Map, Value};

use crate::blobs::{self, DepsLayers};
use crate::composing::{Composing, Shared};
use crate::documents::{Documents, MEMORY};
use crate::flights::Flights;
use crate::name::{ONLY_TAG, base_of, names_one};
use crate::passing;
use crate::policy;
use crate::refusal::{Wanted, refusal};
use crate::rules::{Rule, RuleError};

/// How many bytes of lists of tags are kept.
const TAG_LISTS: u64 = 4 << 20;

/// Why there is no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A rule cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

/// Composes images when they are asked for.
#[derive(Debug)]
pub struct Gateway {
    rules: Vec<Served>,
    shared: Shared,
}

/// A rule that is answered for.
#[derive(Debug)]
struct Served {
    composing: Composing,
    deps: DepsLayers,
    searches: Flights<Result<(), Refusal>>,
    /// Lists of tags, and when they were read.
    tags: Memory<String, (Instant, Tags), Bytewise>,
}

/// A list of tags.
type Tags = Arc<Vec<String>>;

#[derive(Clone, Debug)]
struct Bytewise;

impl Weighter<String, (Instant, Tags)> for Bytewise {
    fn weight(&self, name: &String, (_, tags): &(Instant, Tags)) -> u64 {
        let sizes = tags.iter().map(|tag| tag.len().saturating_add(40) as u64);
        sizes.fold(name.len() as u64, u64::saturating_add)
    }
}

/// A repository that is asked for, as a rule has it.
struct Meant<'a> {
    served: &'a Served,
    /// The base's repository, with tag or digest where the name says those.
    base: RegistryReference,
}

impl Gateway {
    /// Gets rules ready, in the order in which they are tried. Deps images are looked into where a
    /// rule's contract asks for that. Images are read as `resolver` reads them, where its policy and
    /// what the rule asks for let them in.
    ///
    /// What is kept goes into `cache`: documents that can be made again. Several processes may share
    /// it, and it can be deleted at any time. `created` is the date of the images where they are to
    /// have one of their own, and `mtime` that of the files that ohoci adds.
    ///
    /// # Errors
    /// When a rule's keys or deps cannot be read, or its deps do not have what its contract asks for.
    pub async fn open(
        rules: Vec<Rule>,
        resolver: &Resolver,
        cache: Arc<Cache>,
        created: Option<String>,
        mtime: i64,
        work_dir: PathBuf,
    ) -> Result<Self, GatewayError> {
        let policies = rules
            .iter()
            .map(|rule| policy::of_rule(rule, resolver.policy()))
            .collect::<Result<Vec<_>, _>>()?;
        let documents = documents_by(&policies, &cache);
        // What each repository has shown to hold would be all that strangers ever asked for.
        let client = resolver.client.reading_only();
        // Bases can be read again: no client waits until they are on the disk.
        let read = Arc::new(cache.written_behind());
        let mut served = Vec::new();
        for ((rule, policy), documents) in rules.into_iter().zip(policies).zip(documents) {
            let fingerprint = policy::fingerprint(&policy);
            let mut resolver = resolver.anew(Arc::clone(&read)).trusting(policy);
            resolver.client = client.clone();
            let ready = rule
                .ready(
                    &resolver,
                    &fingerprint,
                    created.clone(),
                    mtime,
                    work_dir.clone(),
                )
                .await?;
            served.push(Served {
                composing: Composing::new(ready, documents, resolver),
                deps: DepsLayers::default(),
                searches: Flights::default(),
                tags: Memory::with_weighter(256, TAG_LISTS, Bytewise),
            });
        }
        Ok(Self {
            rules: served,
            shared: Shared::new(client, cache, read),
        })
    }

    /// The first rule that answers for a name and permits its base.
    fn meant(&self, asked: &Asked) -> Result<Meant<'_>, Refusal> {
        let name = full_name(asked);
        let mut refused = None;
        for served in &self.rules {
            let rule = &served.composing.ready.rule;
            match rule.repository(&name) {
                None => {}
                Some(Ok(base)) if rule.permits(&base) => return Ok(Meant { served, base }),
                Some(Ok(base)) => {
                    let why = format!("images on {} are not composed here", base.name());
                    refused.get_or_insert(Refusal::new(RefusalKind::Denied, why));
                }
                Some(Err(why)) => {
                    refused.get_or_insert(Refusal::new(RefusalKind::NameUnknown, why));
                }
            }
        }
        Err(refused.unwrap_or_else(|| {
            let why = format!("no image is composed under the name {name}");
            Refusal::new(RefusalKind::NameUnknown, why)
        }))
    }

    /// How many documents are in memory, and their bytes.
    fn documents_in_memory(&self) -> (u64, u64) {
        let mut seen: Vec<&Arc<Documents>> = Vec::new();
        for served in &self.rules {
            let documents = &served.composing.documents;
            if !seen.iter().any(|known| Arc::ptr_eq(known, documents)) {
                seen.push(documents);
            }
        }
        let each = seen.iter().map(|documents| documents.in_memory());
        each.fold((0, 0), |(count, bytes), (more, size)| {
            (count.saturating_add(more), bytes.saturating_add(size))
        })
    }

    /// Looks for a document that another process gave out, by composing what may have it. Whether it
    /// was found is what the documents say then.
    fn search<'a>(
        &'a self,
        meant: &'a Meant<'a>,
        digest: &'a Digest,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        let search = async move {
            let composing = &meant.served.composing;
            if names_one(&meant.base) {
                composing.digest(&meant.base, &self.shared).await?;
                return Ok(());
            }
            let flight = meant.base.name();
            loop {
                // One search of a repository at a time: the next one finds most of it done.
                let mut own = false;
                let searched = meant.served.searches.join(&flight, async {
                    own = true;
                    Box::pin(self.compose_tags(meant, digest)).await
                });
                searched.await?;
                if own || meant.served.composing.documents.get(digest).await.is_some() {
                    return Ok(());
                }
            }
        };
        Box::pin(search)
    }

    /// Composes what a repository's tags name until a document turns up, or there are no more tags
    /// that are searched.
    async fn compose_tags(&self, meant: &Meant<'_>, digest: &Digest) -> Result<(), Refusal> {
        self.shared.numbers.searches.add(1);
        let documents = &meant.served.composing.documents;
        let composing = &meant.served.composing;
        let mut candidates = composing.known_tags(&meant.base);
        let tags = match self.tags_of(meant).await {
            Ok(tags) => tags,
            Err(refused) if refused.kind() == RefusalKind::NameUnknown => Arc::default(),
            // What was asked for here is known all the same.
            Err(_) if !candidates.is_empty() => Arc::default(),
            Err(refused) => return Err(refused),
        };
        // Lists are in lexical order, which says nothing of what is asked for.
        let mut tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        tags.sort_by_key(|tag| *tag != ONLY_TAG);
        let most = composing.ready.rule.searched_tags;
        let listed = tags.into_iter().take(most);
        for candidate in listed.filter_map(|tag| base_of(&meant.base, tag)) {
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        for candidate in candidates {
            // One that cannot be composed does not end the search.
            let _ = composing.digest(&candidate, &self.shared).await;
            if documents.get(digest).await.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The tags of a base's repository.
    async fn tags_of(&self, meant: &Meant<'_>) -> Result<Tags, Refusal> {
        let key = meant.base.name();
        let fresh = meant.served.composing.ready.rule.fresh;
        if let Some((at, tags)) = meant.served.tags.get(&key)
            && at.elapsed() <= fresh
        {
            return Ok(tags);
        }
        let repository = blobs::repository_of(&self.shared, &meant.base);
        match repository.tags().await {
            Ok(mut tags) => {
                tags.retain(|tag| base_of(&meant.base, tag).is_some());
                tags.sort_unstable();
                let tags = Arc::new(tags);
                let listed = (Instant::now(), Arc::clone(&tags));
                meant.served.tags.insert(key, listed);
                Ok(tags)
            }
            Err(error) if error.kind() == RegistryErrorKind::NotFound => {
                Err(Refusal::new(RefusalKind::NameUnknown, error.to_string()))
            }
            Err(error) => Err(refusal(&error.into(), Wanted::Manifest)),
        }
    }

    async fn by_digest(
        &self,
        meant: &Meant<'_>,
        name: &str,
        digest: &Digest,
    ) -> Result<Manifest, Refusal> {
        let documents = &meant.served.composing.documents;
        if let Some(manifest) = documents.manifest(digest).await {
            return Ok(manifest);
        }
        // A digest of the base's own is answered with the base's own: what is pinned stays what it is.
        let composing = &meant.served.composing;
        let of_base = passing::of_base(composing, &self.shared, &meant.base, digest).await;
        match of_base {
            Ok(Some(manifest)) => return Ok(manifest),
            // It is there, and nothing that is composed is.
            Err(error) if error.kind() == ErrorKind::Untrusted => {
                return Err(refusal(&error, Wanted::Manifest));
            }
            _ => {}
        }
        self.search(meant, digest).await?;
        match (documents.manifest(digest).await, of_base) {
            (Some(manifest), _) => Ok(manifest),
            (None, Err(error)) => Err(refusal(&error, Wanted::Manifest)),
            (None, Ok(_)) => Err(Composing::not_here(
                &format!("manifest {digest}"),
                name,
                Wanted::Manifest,
            )),
        }
    }
}

/// What keeps the documents of each rule. Rules share them where the same has to be shown for their
/// images: what one policy let in is not answered where another counts.
fn documents_by(policies: &[Policy], cache: &Arc<Cache>) -> Vec<Arc<Documents>> {
    let fingerprints: Vec<Digest> = policies.iter().map(policy::fingerprint).collect();
    let mut distinct: Vec<&Digest> = fingerprints.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let memory = MEMORY / distinct.len().max(1);
    let open = policy::fingerprint(&Policy::default());
    let kept: HashMap<&Digest, Arc<Documents>> = distinct
        .into_iter()
        .map(|fingerprint| {
            let cache = match *fingerprint == open {
                true => Arc::clone(cache),
                // What was read is in the cache before it is let in.
                false => Arc::new(cache.within(&format!("policy-{}", fingerprint.short()))),
            };
            (fingerprint, Arc::new(Documents::new(cache, memory)))
        })
        .collect();
    fingerprints
        .iter()
        .filter_map(|fingerprint| kept.get(fingerprint).cloned())
        .collect()
}

/// The name that rules see: with the registry that a client means in front, where this is its mirror.
fn full_name(asked: &Asked) -> String {
    match &asked.namespace {
        None => asked.name.clone(),
        Some(registry) => format!("{}/{}", registry.replace(':', "_"), asked.name),
    }
}

#[async_trait]
impl Images for Gateway {
    async fn manifest(&self, asked: &Asked, pointer: &Pointer) -> Result<ServedManifest, Refusal> {
        let meant = self.meant(asked)?;
        let composing = &meant.served.composing;
        let manifest = match pointer {
            Pointer::Tag(tag) => {
                let unknown = || {
                    let why = format!("{} has no tag {tag}", asked.name);
                    Refusal::new(RefusalKind::ManifestUnknown, why)
                };
                let base = base_of(&meant.base, tag).ok_or_else(unknown)?;
                let digest = composing.digest(&base, &self.shared).await?;
                let manifest = composing.documents.manifest(&digest).await;
                manifest.ok_or_else(|| {
                    Refusal::new(
                        RefusalKind::Internal,
                        "a document that was just made is gone",
                    )
                })?
            }
            Pointer::Digest(digest) => self.by_digest(&meant, &asked.name, digest).await?,
        };
        Ok(ServedManifest {
            digest: manifest.digest().clone(),
            media_type: manifest.media_type().to_owned(),
            bytes: manifest.bytes().clone(),
        })
    }

    async fn blob(
        &self,
        asked: &Asked,
        digest: &Digest,
        offset: u64,
    ) -> Result<ServedBlob, Refusal> {
        let meant = self.meant(asked)?;
        let documents = &meant.served.composing.documents;
        if let Some(bytes) = documents.get(digest).await {
            return Ok(blobs::document(&bytes, offset));
        }
        let Meant { served, base } = &meant;
        let composing = &served.composing;
        let opened = blobs::open(composing, &served.deps, &self.shared, base, digest, offset).await;
        match opened {
            Ok(Some(blob)) => return Ok(blob),
            Ok(None) => {}
            Err(error) => return Err(refusal(&error, Wanted::Blob)),
        }
        self.search(&meant, digest).await?;
        match documents.get(digest).await {
            Some(bytes) => Ok(blobs::document(&bytes, offset)),
            None => Err(Composing::not_here(
                &format!("blob {digest}"),
                &asked.name,
                Wanted::Blob,
            )),
        }
    }

    async fn blob_size(&self, asked: &Asked, digest: &Digest) -> Result<u64, Refusal> {
        let meant = self.meant(asked)?;
        let documents = &meant.served.composing.documents;
        if let Some(bytes) = documents.get(digest).await {
            return Ok(bytes.len() as u64);
        }
        let Meant { served, base } = &meant;
        let size = blobs::size(&served.composing, &served.deps, &self.shared, base, digest).await;
        if let Some(size) = size.map_err(|error| refusal(&error, Wanted::Blob))? {
            return Ok(size);
        }
        self.search(&meant, digest).await?;
        match documents.get(digest).await {
            Some(bytes) => Ok(bytes.len() as u64),
            None => Err(Composing::not_here(
                &format!("blob {digest}"),
                &asked.name,
                Wanted::Blob,
            )),
        }
    }

    async fn tags(&self, asked: &Asked) -> Result<Vec<String>, Refusal> {
        let meant = self.meant(asked)?;
        if names_one(&meant.base) {
            return Ok(vec![ONLY_TAG.to_owned()]);
        }
        Ok(self.tags_of(&meant).await?.as_ref().clone())
    }

    async fn referrers(
        &self,
        asked: &Asked,
        subject: &Digest,
    ) -> Result<Vec<Map<String, Value>>, Refusal> {
        let meant = self.meant(asked)?;
        let repository = blobs::repository_of(&self.shared, &meant.base);
        match repository.referrers(subject, None).await {
            Ok(found) => Ok(found
                .iter()
                .map(|descriptor| descriptor.to_json())
                .collect()),
            // A repository that is not there has none: clients take a 404 to mean that this question
            // is not known.
            Err(error) if error.kind() == RegistryErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(refusal(&error.into(), Wanted::Manifest)),
        }
    }

    fn metrics(&self) -> String {
        let (mut names, mut flights) = (0_u64, 0_u64);
        for served in &self.rules {
            let (known, under_way) = served.composing.counts();
            names = names.saturating_add(known as u64);
            flights = flights.saturating_add(under_way as u64);
        }
        let (documents, bytes) = self.documents_in_memory();
        let upstream = self.shared.client.statistics();
        self.shared.numbers.text(
            &[
                (
                    "ohoci_known_names",
                    "Names that were asked for and are remembered.",
                    names,
                ),
                (
                    "ohoci_composing",
                    "Images that are being composed.",
                    flights,
                ),
                (
                    "ohoci_documents_in_memory",
                    "Documents in memory.",
                    documents,
                ),
                (
                    "ohoci_documents_in_memory_bytes",
                    "Bytes of the documents in memory.",
                    bytes,
                ),
            ],
            &[
                (
                    "ohoci_upstream_requests_total",
                    "Requests to other registries and what they lead to.",
                    upstream.total(),
                ),
                (
                    "ohoci_upstream_received_bytes_total",
                    "Bytes of the bodies of their answers.",
                    upstream.bytes_down,
                ),
                (
                    "ohoci_upstream_retries_total",
                    "Requests to them that were sent again.",
                    upstream.retries,
                ),
            ],
        )
    }
}
