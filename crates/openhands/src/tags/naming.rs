//! Names the results of compose jobs by what they are made of.

use super::content;
use super::error::TagError;
use super::scheme::Scheme;
use ohoci_compose::job::{IfExists, Job, ReuseOrder};
use ohoci_compose::read::{Choice, this_machine};
use ohoci_compose::resolver::Resolver;
use ohoci_image::reference::ReferenceError;
use ohoci_image::{Content, Reference, RegistryReference};
use ohoci_store::Error;

/// How results are named.
#[derive(Clone, Debug)]
pub struct Naming {
    /// By what.
    pub scheme: Scheme,
    /// Whether images that exist under V0's tags are used again, as OpenHands does.
    pub reuse: bool,
}

/// Why a job's results cannot be named.
#[derive(Debug, thiserror::Error)]
pub enum NamingError {
    /// There are no tags.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// A target that names a tag of its own, or takes none.
    #[error("--push {0}: --tag-scheme makes the tag")]
    Tagged(Reference),
    /// A tag that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// Base or deps cannot be read.
    #[error("{}: {}", .0.what(), .0.why())]
    Read(Error),
}

impl Naming {
    /// Gives the job's targets, which name repositories, the tags for this base. `typed` is the base as
    /// a person wrote it.
    ///
    /// # Errors
    /// When something that the tags depend on is missing or cannot be read, or a target has a tag.
    pub async fn apply(
        &self,
        typed: &str,
        mut job: Job,
        resolver: &Resolver,
    ) -> Result<Job, NamingError> {
        let tags = match &self.scheme {
            Scheme::Content(_) => {
                let tag = content_tag(&mut job, resolver).await;
                vec![tag.map_err(NamingError::Read)?]
            }
            scheme => scheme.tags(typed)?,
        };
        let mut push = Vec::new();
        for target in &job.push {
            for tag in &tags {
                push.push(tagged(target, tag)?);
            }
        }
        if let (true, [source, lock, versioned, ..]) = (self.reuse, push.as_slice()) {
            job.reuse = Some(ReuseOrder {
                source: source.clone(),
                lock: lock.clone(),
                versioned: versioned.clone(),
            });
            job.if_exists = IfExists::Skip;
        }
        job.push = push;
        Ok(job)
    }
}

/// The tag of everything that goes into the image. Base and deps are then read at the digests
/// that are in it, so that the tag is right whatever moves meanwhile.
async fn content_tag(job: &mut Job, resolver: &Resolver) -> Result<String, Error> {
    let reads: Vec<&Reference> = std::iter::once(&job.base).chain(&job.deps).collect();
    resolver.announce(&reads, &[]);
    let mut several = true;
    let base = match &job.base {
        Reference::Scratch => None,
        base => {
            let source = resolver.source(base).await?;
            let root = source.root().await?;
            several = matches!(root.content(), Content::Index { .. });
            Some(root.digest().clone())
        }
    };
    let mut deps = Vec::new();
    for reference in &job.deps {
        let image = resolver.deps(reference).await?;
        deps.push(image.root.digest().clone());
    }
    job.pins.base.clone_from(&base);
    job.pins.deps = deps.iter().cloned().map(Some).collect();
    let layers = job.layers.iter();
    deps.extend(layers.map(|layer| layer.descriptor.digest.clone()));
    let inputs = content::Inputs {
        deps,
        position: job.position,
        patch: job.patch.clone(),
        path: job.deps_path.clone(),
        annotations: job.annotations.clone(),
        platforms: match &job.choice {
            Choice::All => vec!["all".to_owned()],
            Choice::Platforms(list) => list.iter().map(ToString::to_string).collect(),
            // Of several images it is this machine's that is taken.
            Choice::Default if several => vec![this_machine().to_string()],
            Choice::Default => Vec::new(),
        },
        created: job.created.clone(),
    };
    Ok(inputs.tag(base.as_ref()))
}

/// A target that names no tag, with one.
fn tagged(target: &Reference, tag: &str) -> Result<Reference, NamingError> {
    Ok(match target {
        Reference::Registry(registry)
            if registry.tag().is_none() && registry.digest().is_none() =>
        {
            let (host, repository) = (registry.host(), registry.repository());
            Reference::Registry(RegistryReference::new(host, repository, Some(tag), None)?)
        }
        Reference::Layout { path, tag: None } => Reference::Layout {
            path: path.clone(),
            tag: Some(tag.to_owned()),
        },
        Reference::OciArchive { path, tag: None } => Reference::OciArchive {
            path: path.clone(),
            tag: Some(tag.to_owned()),
        },
        other => return Err(NamingError::Tagged(other.clone())),
    })
}
