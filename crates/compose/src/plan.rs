//! Decides, before the first byte moves, how each blob gets to a target.
//!
//! Planning is a function of facts to data: `--dry-run` prints the plan that the executor would
//! run.

use std::collections::HashMap;
use std::sync::Arc;

use ohoci_image::{Descriptor, Digest, Role};
use ohoci_store::{Arrival, Body, Offer, Origin, Target};

/// A blob that the image needs, and where it can be had.
#[derive(Clone, Debug)]
pub struct Need {
    /// What the blob is.
    pub descriptor: Descriptor,
    /// What it is in the image.
    pub role: Role,
    /// The repository it lies in, when it lies in a registry.
    pub origin: Option<Origin>,
    /// What a person calls the place it lies in.
    pub place: String,
    /// Whether it lies in files of this machine that were made for this run.
    pub local: bool,
    /// Its bytes.
    pub body: Arc<dyn Body>,
}

/// One blob and the way chosen for it.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    /// What the blob is in the image.
    pub role: Role,
    /// The way.
    pub way: Way,
    /// What the executor hands to the target, whatever the way turns out to be.
    pub offer: Offer,
}

/// How a blob gets to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is there; no request is needed to know.
    Present {
        /// How that is known.
        proof: String,
    },
    /// The registry links it from another of its repositories. When it refuses, the bytes move,
    /// unless the caller forbade that.
    Mount {
        /// The repository it is linked from.
        from: Origin,
    },
    /// Its bytes go from this machine to the target.
    Upload,
    /// Its bytes stream from where it lies to the target.
    Copy {
        /// Where it lies.
        from: String,
    },
}

impl Way {
    /// Whether this way moves the blob's bytes for sure.
    #[must_use]
    pub(crate) fn moves_bytes(&self) -> bool {
        matches!(self, Self::Upload | Self::Copy { .. })
    }

    /// What a person reads in a plan.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Present { proof } => format!("present ({proof})"),
            Self::Mount { from } => format!("mount from {}/{}", from.host, from.repository),
            Self::Upload => "upload".to_owned(),
            Self::Copy { from } => format!("copy from {from}"),
        }
    }
}

/// Plans the blobs of one target. Each digest appears once, in the order of first need.
///
/// With `forbid_upload`, offers carry no bytes, so that whatever the registry answers, none move.
pub(crate) fn plan(target: &dyn Target, needs: &[Need], forbid_upload: bool) -> Vec<Move> {
    let there = target.origin();
    // The same blob may be needed twice and lie in several repositories: any may serve.
    let mut lies_in: HashMap<&Digest, Vec<Origin>> = HashMap::new();
    for need in needs {
        let origins = lies_in.entry(&need.descriptor.digest).or_default();
        if let (Some(there), Some(origin)) = (&there, &need.origin)
            && there.host == origin.host
            && !origins.contains(origin)
        {
            origins.push(origin.clone());
        }
    }
    needs
        .iter()
        .filter_map(|need| Some((need, lies_in.remove(&need.descriptor.digest)?)))
        .map(|(need, mount_from)| {
            let own = there
                .as_ref()
                .is_some_and(|there| mount_from.contains(there));
            let way = if own {
                Way::Present {
                    proof: "it is in the same repository".to_owned(),
                }
            } else if let Some(proof) = target.proof(&need.descriptor.digest) {
                Way::Present { proof }
            } else if let Some(from) = mount_from.first() {
                Way::Mount { from: from.clone() }
            } else if need.local {
                Way::Upload
            } else {
                Way::Copy {
                    from: need.place.clone(),
                }
            };
            Move {
                role: need.role,
                offer: Offer {
                    descriptor: need.descriptor.clone(),
                    mount_from,
                    body: (!forbid_upload).then(|| Arc::clone(&need.body)),
                    moved: if need.local {
                        Arrival::Uploaded
                    } else {
                        Arrival::Copied
                    },
                },
                way,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ohoci_image::{Manifest, Pointer};
    use ohoci_store::Error;

    /// A target of which only is asked what is known of it.
    #[derive(Debug)]
    struct Known {
        origin: Option<Origin>,
        known: Vec<Digest>,
    }

    #[async_trait::async_trait]
    impl Target for Known {
        fn place(&self) -> String {
            "here".to_owned()
        }
        fn origin(&self) -> Option<Origin> {
            self.origin.clone()
        }
        fn proof(&self, digest: &Digest) -> Option<String> {
            self.known
                .contains(digest)
                .then(|| "pushed before".to_owned())
        }
        async fn current(&self, _: &Pointer) -> Result<Option<Digest>, Error> {
            unreachable!("planning asks for nothing")
        }
        async fn place_blob(&self, _: &Offer) -> Result<Arrival, Error> {
            unreachable!("planning moves nothing")
        }
        async fn place_document(&self, _: &Descriptor, _: Bytes) -> Result<Arrival, Error> {
            unreachable!("planning moves nothing")
        }
        async fn place_manifest(&self, _: &Manifest, _: &[String]) -> Result<(), Error> {
            unreachable!("planning moves nothing")
        }
        async fn finish(&self) -> Result<(), Error> {
            unreachable!("planning moves nothing")
        }
    }

    fn origin(host: &str, repository: &str) -> Origin {
        Origin {
            host: host.to_owned(),
            repository: repository.to_owned(),
        }
    }

    fn need(content: &'static str, role: Role, lies_in: Option<Origin>) -> Need {
        Need {
            descriptor: Descriptor::of("a/b", content.as_bytes()),
            role,
            place: lies_in.as_ref().map_or("oci:dir".to_owned(), |o| {
                format!("{}/{}", o.host, o.repository)
            }),
            origin: lies_in,
            local: role == Role::Local,
            body: Arc::new(Bytes::from_static(content.as_bytes())),
        }
    }

    fn ways(target: &Known, needs: &[Need]) -> Vec<Way> {
        plan(target, needs, false)
            .into_iter()
            .map(|m| m.way)
            .collect()
    }

    #[test]
    fn same_repository_needs_nothing() {
        let target = Known {
            origin: Some(origin("r", "a")),
            known: vec![],
        };
        let ways = ways(&target, &[need("x", Role::Base, Some(origin("r", "a")))]);
        assert!(matches!(ways[..], [Way::Present { .. }]));
    }

    #[test]
    fn same_registry_mounts_and_other_registry_copies() {
        let target = Known {
            origin: Some(origin("r", "a")),
            known: vec![Digest::of(b"k")],
        };
        let needs = [
            need("x", Role::Base, Some(origin("r", "b"))),
            need("y", Role::Deps, Some(origin("q", "b"))),
            need("z", Role::Local, None),
            need("k", Role::Base, Some(origin("r", "b"))),
            need("l", Role::Base, None),
        ];
        assert_eq!(
            ways(&target, &needs),
            [
                Way::Mount {
                    from: origin("r", "b")
                },
                Way::Copy {
                    from: "q/b".to_owned()
                },
                Way::Upload,
                Way::Present {
                    proof: "pushed before".to_owned()
                },
                Way::Copy {
                    from: "oci:dir".to_owned()
                },
            ]
        );
    }

    #[test]
    fn one_move_per_digest_with_every_place_it_lies_in() {
        let target = Known {
            origin: Some(origin("r", "a")),
            known: vec![],
        };
        let needs = [
            need("x", Role::Base, Some(origin("r", "b"))),
            need("x", Role::Deps, Some(origin("r", "c"))),
            need("x", Role::Deps, Some(origin("r", "c"))),
        ];
        let moves = plan(&target, &needs, true);
        assert_eq!(moves.len(), 1);
        assert_eq!(
            moves[0].offer.mount_from,
            [origin("r", "b"), origin("r", "c")]
        );
        assert!(moves[0].offer.body.is_none());
    }

    #[test]
    fn layouts_never_mount() {
        let target = Known {
            origin: None,
            known: vec![],
        };
        let ways = ways(&target, &[need("x", Role::Base, Some(origin("r", "a")))]);
        assert!(matches!(ways[..], [Way::Copy { .. }]));
    }
}
