//! Mounting a blob from another repository (distribution-spec, "Mounting a blob from another
//! repository").

use reqwest::Method;

use super::call::RetryLimit;
use super::error::{Error, ErrorKind};
use super::manifests::content_digest;
use super::repository::Repository;
use super::scope::{Scope, ScopeSet};
use super::session::UploadSession;
use ohoci_image::Digest;

/// How a mount went.
#[derive(Debug)]
pub enum MountOutcome {
    /// The blob is there now, says the registry. Where its answer also names the blob,
    /// [`Repository::named_in_mount`] says so from then on.
    Mounted,
    /// The registry did not mount, and opened an upload instead: use it or cancel it.
    Session(UploadSession),
    /// The registry did not mount, and there is nothing to clean up.
    Refused {
        /// The status of its answer; `None` when it was not asked again what it has refused
        /// before.
        status: Option<u16>,
        /// Why, in its words.
        why: String,
    },
}

impl Repository {
    /// Asks the registry to link a blob from its repository `from`, or from wherever it knows it.
    ///
    /// A refusal is never an error: registries answer almost anything to a mount that they do
    /// not want. A source that was refused for good is not asked for again.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    pub async fn mount(&self, digest: &Digest, from: Option<&str>) -> Result<MountOutcome, Error> {
        let what = || match from {
            Some(from) => format!(
                "cannot mount blob {digest} of {}/{from} into {self}",
                self.host()
            ),
            None => format!("cannot mount blob {digest} into {self}"),
        };
        self.try_mount(digest, from)
            .await
            .map_err(|error| error.during(what))
    }

    async fn try_mount(&self, digest: &Digest, from: Option<&str>) -> Result<MountOutcome, Error> {
        let endpoint = self.endpoint()?;
        if endpoint.host.refuses_mounts(self.name(), from) {
            return Ok(MountOutcome::Refused {
                status: None,
                why: "the registry has refused such mounts before".to_owned(),
            });
        }
        let mut url = endpoint.url("blobs/uploads/")?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("mount", &digest.to_string());
            if let Some(from) = from {
                query.append_pair("from", from);
            }
        }
        let mut scopes = ScopeSet::of(Scope::push(self.name()));
        if let Some(from) = from {
            scopes.insert(Scope::pull(from));
        }
        let call = endpoint
            .write(Method::POST, url)
            .scoped(scopes)
            .retry_limit(RetryLimit::Throttled);
        let reply = match self.transport().send(&endpoint.host, call).await {
            Ok(reply) => reply,
            Err(error) if error.kind() == ErrorKind::Unreachable => return Err(error),
            // No token for both repositories: the blob can still be uploaded.
            Err(error) => {
                if error.kind() == ErrorKind::Denied {
                    endpoint.host.set_mounts_refused(self.name(), from);
                }
                return Ok(MountOutcome::Refused {
                    status: error.status(),
                    why: error.why().to_owned(),
                });
            }
        };
        let status = reply.status().as_u16();
        let refused = |why: String| MountOutcome::Refused {
            status: Some(status),
            why,
        };
        match status {
            201 => {
                let stored = content_digest(reply.headers());
                reply.drain().await;
                Ok(match stored {
                    Some(stored)
                        if stored.algorithm() == digest.algorithm() && stored != *digest =>
                    {
                        refused(format!("the registry mounted {stored} instead"))
                    }
                    stored => {
                        if stored.is_some() {
                            endpoint.host.set_mount_named(self.name(), digest);
                        }
                        MountOutcome::Mounted
                    }
                })
            }
            202 => {
                let session = UploadSession::from_reply(&reply);
                reply.drain().await;
                Ok(match session {
                    // Old zot sends back the mount itself, which would only be asked again
                    // (zot#573).
                    Ok(session) if session.names("mount") => refused(
                        "the upload that the registry opened is the mount itself".to_owned(),
                    ),
                    Ok(session) => MountOutcome::Session(session),
                    Err(error) => refused(error.why().to_owned()),
                })
            }
            _ => {
                let error = reply.into_error().await;
                // A 404 may be about this one blob, unless it says that the repository is missing.
                let for_good = match status {
                    400 | 401 | 403 | 405 => true,
                    404 => error.code() == Some("NAME_UNKNOWN"),
                    _ => false,
                };
                if for_good {
                    endpoint.host.set_mounts_refused(self.name(), from);
                }
                Ok(refused(error.why().to_owned()))
            }
        }
    }
}
