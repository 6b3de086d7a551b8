//! Opens references: the one key that knows which kind of reference is which kind of place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::deps::Deps;
use super::layer_reader::{LayerReader, UnpackedLayers};
use super::plan::Need;
use super::read;
use super::sources::Sources;
use super::trust::gate::Gate;
use super::trust::guarded::Guarded;
use super::trust::signer::Signing;
use ohoci_image::{Digest, Manifest, Reference, RegistryReference};
use ohoci_layer::Tree;
use ohoci_layer::limits::UnpackLimits;
use ohoci_registry::{Client, Scope};
use ohoci_store::cache::Cache;
use ohoci_store::registry::RegistryTarget;
use ohoci_store::{Error, ErrorKind, Origin, Source, Target};
use ohoci_trust::policy::Policy;

/// A reference, and the digest that it is read at.
type DepsKey = (String, Option<Digest>);

/// What is in a layer that ohoci makes itself, by its name in an image's record; `None` for any other.
pub type OwnLayers = fn(&str) -> Option<Tree>;

/// Opens places, and remembers those that many images share.
#[derive(Debug)]
pub struct Resolver {
    /// The distribution client.
    pub client: Client,
    /// Documents and knowledge kept between runs.
    pub cache: Arc<Cache>,
    /// What an image, or an archive, may come to when it is unpacked.
    pub limits: UnpackLimits,
    own_layers: OwnLayers,
    unpacked: Option<Arc<dyn UnpackedLayers>>,
    targets: Mutex<BTreeMap<String, Arc<RegistryTarget>>>,
    deps: Mutex<BTreeMap<DepsKey, Arc<OnceCell<Arc<Deps>>>>>,
    gate: Arc<Gate>,
    pub(crate) signing: Option<Signing>,
    pushed: Mutex<HashMap<Digest, Vec<Origin>>>,
}

/// A place to push to, with every name that the result gets there.
#[derive(Debug)]
pub struct Destination {
    /// The place.
    pub target: Arc<dyn Target>,
    /// The tags that the result gets; empty for a push by digest only.
    pub tags: Vec<String>,
    /// The references as they were asked for.
    pub references: Vec<Reference>,
}

/// What references have in common that are to share a target.
#[derive(PartialEq)]
enum TargetKey {
    Repository(String),
    Local(Reference),
}

impl Destination {
    /// What names the result in this place: by digest in a registry, else as it was asked for.
    #[must_use]
    pub(crate) fn result_reference(&self, digest: &Digest) -> String {
        match self.references.first() {
            Some(Reference::Registry(reference)) => reference.at(digest).to_string(),
            Some(other) => other.to_string(),
            None => digest.to_string(),
        }
    }

    /// Whether only OCI's manifests may lie there.
    #[must_use]
    pub fn holds_only_oci(&self) -> bool {
        self.references.iter().any(Reference::holds_only_oci)
    }

    /// The reference that stands for a tag, as it was asked for.
    #[must_use]
    pub(crate) fn reference_of(&self, tag: &str) -> String {
        self.references
            .iter()
            .find(|reference| tag_of(reference).as_deref() == Some(tag))
            .map_or_else(
                || format!("{}:{tag}", self.target.place()),
                ToString::to_string,
            )
    }

    /// Whether this machine remembers having given every tag to `is`'s digest: then the result is
    /// likely there already, and asking comes first.
    pub(super) fn every_tag_is_remembered(&self, is: impl Fn(&Digest) -> bool) -> bool {
        let remembered = |tag: &String| {
            self.target
                .remembered(tag)
                .is_some_and(|digest| is(&digest))
        };
        !self.tags.is_empty() && self.tags.iter().all(remembered)
    }

    /// Gives up a tag, and the references that stand for it.
    pub fn leave_out(&mut self, tag: &str) {
        self.tags.retain(|known| known != tag);
        self.references
            .retain(|reference| tag_of(reference).as_deref() != Some(tag));
    }
}

/// The tag, or what takes its place, that pushing to a reference sets.
fn tag_of(reference: &Reference) -> Option<String> {
    match reference {
        Reference::Registry(registry) => Some(registry.tag().unwrap_or("latest").to_owned()),
        Reference::Layout { tag, .. } | Reference::OciArchive { tag, .. } => tag.clone(),
        Reference::DockerArchive { name, .. } => name.clone(),
        Reference::Scratch => None,
    }
}

impl Resolver {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(client: Client, cache: Arc<Cache>) -> Self {
        Self {
            client,
            cache,
            limits: UnpackLimits::default(),
            own_layers: |_| None,
            unpacked: None,
            targets: Mutex::default(),
            deps: Mutex::default(),
            gate: Arc::default(),
            signing: None,
            pushed: Mutex::default(),
        }
    }

    /// The same, which knows layers by their names: where the base is read, they are laid out as its
    /// symlinks have it.
    #[must_use]
    pub fn knowing(self, own_layers: OwnLayers) -> Self {
        Self { own_layers, ..self }
    }

    /// The same, which looks at layers that are unpacked on this machine without downloading them.
    #[must_use]
    pub fn looking_into(self, unpacked: Arc<dyn UnpackedLayers>) -> Self {
        Self {
            unpacked: Some(unpacked),
            ..self
        }
    }

    /// The same, which reads no image that unpacks to more than this.
    #[must_use]
    pub fn within(self, limits: UnpackLimits) -> Self {
        Self { limits, ..self }
    }

    /// The same, which reads only images that a policy lets in.
    #[must_use]
    pub fn trusting(self, policy: Policy) -> Self {
        Self {
            gate: Arc::new(Gate::new(policy)),
            ..self
        }
    }

    /// The same, which signs what it composes and copies.
    #[must_use]
    pub fn signing(self, signing: Option<Signing>) -> Self {
        Self { signing, ..self }
    }

    /// One that signs nothing: for images that stay on this machine.
    #[must_use]
    pub fn unsigned(&self) -> Self {
        Self {
            limits: self.limits,
            own_layers: self.own_layers,
            unpacked: self.unpacked.clone(),
            gate: Arc::clone(&self.gate),
            ..Self::new(self.client.clone(), Arc::clone(&self.cache))
        }
    }

    /// One that reads by the same rules and signs nothing. It remembers nothing yet, and keeps what it
    /// reads in another cache.
    #[must_use]
    pub fn anew(&self, cache: Arc<Cache>) -> Self {
        Self {
            limits: self.limits,
            own_layers: self.own_layers,
            unpacked: self.unpacked.clone(),
            gate: Arc::new(Gate::new(self.policy().clone())),
            ..Self::new(self.client.clone(), cache)
        }
    }

    /// The same, whose work does not wait for what the cache keeps: for many images, whose documents
    /// none of the others reads. What is put is in the cache a little later, at the latest when this ends.
    #[must_use]
    pub fn caching_behind(mut self) -> Self {
        self.cache = Arc::new(self.cache.written_behind());
        self
    }

    /// What lets images in.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        self.gate.policy()
    }

    /// What layers of images are read with.
    #[must_use]
    pub fn reader(&self) -> LayerReader<'_> {
        LayerReader {
            cache: &self.cache,
            limits: self.limits,
            unpacked: self.unpacked.as_ref(),
        }
    }

    /// What opens sources for reading.
    #[must_use]
    pub(crate) fn sources(&self) -> Sources {
        Sources {
            client: self.client.clone(),
            cache: Arc::clone(&self.cache),
            limits: self.limits,
        }
    }

    /// What is in a layer that is known by its name.
    #[must_use]
    pub(crate) fn own_layer(&self, name: &str) -> Option<Tree> {
        (self.own_layers)(name)
    }

    /// The one target for a repository in this run.
    fn registry_target(&self, reference: &RegistryReference) -> Arc<RegistryTarget> {
        let mut targets = self.targets.lock();
        let target = targets.entry(reference.name()).or_insert_with(|| {
            Arc::new(RegistryTarget::new(
                self.client
                    .repository(reference.host(), reference.repository()),
                reference.host(),
                reference.repository(),
                Arc::clone(&self.cache),
            ))
        });
        Arc::clone(target)
    }

    /// Notes that a repository holds these blobs, whatever they were pushed from: further images of
    /// this run that have them, too, mount them from there instead of uploading them again.
    pub fn note_pushed<'a>(&self, to: &Origin, blobs: impl IntoIterator<Item = &'a Digest>) {
        let mut pushed = self.pushed.lock();
        for blob in blobs {
            let origins = pushed.entry(blob.clone()).or_default();
            // One of a registry is enough.
            if origins.iter().all(|known| known.host != to.host) {
                origins.push(to.clone());
            }
        }
    }

    /// The same needs, and behind them those with repositories that
    /// [`note_pushed`](Self::note_pushed) was told of: the first of a blob says where its bytes are.
    pub(super) fn with_pushed(&self, mut needs: Vec<Need>) -> Vec<Need> {
        let pushed = self.pushed.lock();
        let mut more = Vec::new();
        for need in &needs {
            let origins = pushed.get(&need.descriptor.digest).into_iter().flatten();
            more.extend(origins.map(|origin| Need {
                origin: Some(origin.clone()),
                ..need.clone()
            }));
        }
        needs.append(&mut more);
        needs
    }

    /// Takes a manifest that was read from a reference's repository as proof that its layers are
    /// there, should anything be pushed there.
    pub fn learn(&self, reference: &Reference, manifest: &Manifest) {
        if let Reference::Registry(registry) = reference {
            self.registry_target(registry).learn(manifest);
        }
    }

    /// A deps image. It is read once in a run, however many images it goes into.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub async fn deps(&self, reference: &Reference) -> Result<Arc<Deps>, Error> {
        self.deps_at(reference, None).await
    }

    /// A deps image at a digest, under the name that the reference gives it. It is read once in a
    /// run, however many images it goes into.
    ///
    /// # Errors
    /// When it is missing or unreadable, or a local place holds another by now.
    pub async fn deps_at(
        &self,
        reference: &Reference,
        pin: Option<&Digest>,
    ) -> Result<Arc<Deps>, Error> {
        let cell = {
            let mut deps = self.deps.lock();
            let key = (reference.to_string(), pin.cloned());
            Arc::clone(deps.entry(key).or_default())
        };
        let deps = cell
            .get_or_try_init(|| async {
                let source = self.source_at(reference, pin).await?;
                let deps = Deps::open(source, read::public_name(reference)).await?;
                read::expect_pin(reference, pin, &deps.root)?;
                Ok::<_, Error>(Arc::new(deps))
            })
            .await?;
        Ok(Arc::clone(deps))
    }

    /// Says that one more image of this run goes to these references. Repositories that many go to
    /// are then asked for their tags once, instead of for each image.
    pub fn expect(&self, references: &[Reference]) {
        for reference in references.iter().filter_map(Reference::registry) {
            self.registry_target(reference).expect_image();
        }
    }

    /// Cancels what was begun and is not needed. No image may be under way.
    pub async fn close(&self) {
        let targets: Vec<_> = self.targets.lock().values().cloned().collect();
        for target in targets {
            target.close().await;
        }
    }

    /// Opens an image for reading, in a registry at a digest if one is given. Nothing is read yet.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub async fn source_at(
        &self,
        reference: &Reference,
        pin: Option<&Digest>,
    ) -> Result<Arc<dyn Source>, Error> {
        match (reference, pin) {
            (Reference::Registry(registry), Some(pin)) => {
                let sources = self.sources();
                let source = sources.open(&Reference::Registry(registry.at(pin))).await?;
                // The policy goes by the name that was asked for: rules may be about a tag.
                Ok(Guarded::source(source, reference, &sources, &self.gate))
            }
            _ => self.source(reference).await,
        }
    }

    /// Opens an image for reading. Nothing is read yet; where the policy does not let the image in,
    /// reading it fails.
    ///
    /// # Errors
    /// When it is `scratch`, or a local place that is not there.
    pub async fn source(&self, reference: &Reference) -> Result<Arc<dyn Source>, Error> {
        let sources = self.sources();
        let source = sources.open(reference).await?;
        Ok(Guarded::source(source, reference, &sources, &self.gate))
    }

    /// Whether the policy asks anything of images of that name.
    pub(crate) fn asks_about(&self, image: &Reference) -> bool {
        self.gate.asks(image)
    }

    /// Opens an image that is only shown, or signed: whatever the policy says of it.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub async fn source_to_look_at(&self, reference: &Reference) -> Result<Arc<dyn Source>, Error> {
        self.sources().open(reference).await
    }

    /// Opens the places to push to. References to one place are grouped, in the order given.
    ///
    /// # Errors
    /// When a reference cannot be pushed to, or a local place cannot be opened.
    pub fn destinations(&self, references: &[Reference]) -> Result<Vec<Destination>, Error> {
        let mut groups: Vec<(TargetKey, Vec<Reference>)> = Vec::new();
        for reference in references {
            let key = match reference {
                Reference::Registry(registry) => TargetKey::Repository(registry.name()),
                local => match ohoci_store::open::place_of(local) {
                    Some(place) => TargetKey::Local(place),
                    None => {
                        return Err(Error::new(
                            ErrorKind::Unsupported,
                            "cannot push to scratch",
                            "scratch is the empty base, not a place",
                        ));
                    }
                },
            };
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, group)) => group.push(reference.clone()),
                None => groups.push((key, vec![reference.clone()])),
            }
        }
        groups
            .into_iter()
            .map(|(_, references)| self.destination(references))
            .collect()
    }

    fn destination(&self, references: Vec<Reference>) -> Result<Destination, Error> {
        let mut tags: Vec<String> = Vec::new();
        for reference in &references {
            if let Some(registry) = reference.registry()
                && registry.digest().is_some()
            {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("cannot push to {registry}"),
                    "a digest names content that exists; push to a tag",
                ));
            }
            if let Some(tag) = tag_of(reference)
                && !tags.contains(&tag)
            {
                tags.push(tag);
            }
        }
        let target: Arc<dyn Target> = match references.first() {
            Some(Reference::Registry(first)) => self.registry_target(first),
            Some(local) => ohoci_store::open::open_target(local, self.limits).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    format!("cannot push to {local}"),
                    "it is no place",
                )
            })?,
            None => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "cannot push",
                    "no reference was given",
                ));
            }
        };
        Ok(Destination {
            target,
            tags,
            references,
        })
    }

    /// Tells the client which rights this run needs where, so that one token per registry can
    /// carry them all.
    pub fn announce(&self, reads: &[&Reference], writes: &[&Reference]) {
        let read = reads
            .iter()
            .filter_map(|reference| reference.registry())
            .map(|registry| (registry, false));
        let write = writes
            .iter()
            .filter_map(|reference| reference.registry())
            .map(|registry| (registry, true));
        for (registry, push) in read.chain(write) {
            let scope = if push {
                Scope::push(registry.repository())
            } else {
                Scope::pull(registry.repository())
            };
            self.client.announce(registry.host(), [scope]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ohoci_registry::Settings;

    fn resolver() -> Resolver {
        Resolver::new(
            Client::new(Settings::default()).unwrap(),
            Arc::new(Cache::disabled()),
        )
    }

    #[test]
    fn references_to_one_file_share_a_target_however_it_is_spelt() {
        let references = ["oci-archive:out.tar:a", "oci-archive:./out.tar:b"]
            .map(|text| text.parse::<Reference>().unwrap());
        let destinations = resolver().destinations(&references).unwrap();
        let tags: Vec<&[String]> = destinations.iter().map(|d| d.tags.as_slice()).collect();
        // Two targets would write the file twice, and the second would take the first tag away.
        assert_eq!(tags, [["a", "b"]]);
    }
}
