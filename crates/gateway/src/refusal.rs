//! What clients are told of failures.

use ohoci_server::{Refusal, RefusalKind};
use ohoci_store::{Error, ErrorKind};

/// How soon a client may ask again for what a registry did not answer, in seconds.
const SOON: u64 = 5;

/// Longest reason that a client gets, in characters.
const MAX_REASON: usize = 2000;

/// What is lost where something is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Manifest,
    Blob,
}

/// A failure as a client gets it. What failed on this machine is in the log only: it can name paths.
pub(crate) fn refusal(error: &Error, wanted: Wanted) -> Refusal {
    let kind = match error.kind() {
        _ if error.come_back_in().is_some() => RefusalKind::TooManyRequests,
        ErrorKind::NotFound => match wanted {
            Wanted::Manifest => RefusalKind::ManifestUnknown,
            Wanted::Blob => RefusalKind::BlobUnknown,
        },
        ErrorKind::Denied | ErrorKind::Untrusted => RefusalKind::Denied,
        ErrorKind::Unreachable | ErrorKind::Server | ErrorKind::Corrupt => RefusalKind::Unavailable,
        ErrorKind::Unsupported | ErrorKind::WouldUpload | ErrorKind::Incomplete => {
            RefusalKind::Unsupported
        }
        ErrorKind::Io => RefusalKind::Internal,
    };
    if kind == RefusalKind::Internal {
        tracing::error!(%error, "a file of this machine cannot be used");
        return Refusal::new(kind, "the registry could not do this; its log says why");
    }
    // Hints are about flags of the command line.
    let reason: String = error.to_string().chars().take(MAX_REASON).collect();
    let refusal = Refusal::new(kind, reason);
    match (kind, error.come_back_in()) {
        (_, Some(wait)) => refusal.retry_after(wait.as_secs().max(1)),
        (RefusalKind::Unavailable, None) => refusal.retry_after(SOON),
        _ => refusal,
    }
}

/// Whether the base's registry is at fault, and may do better later.
pub(crate) fn is_passing(error: &Error) -> bool {
    error.come_back_in().is_some()
        || matches!(
            error.kind(),
            ErrorKind::Unreachable | ErrorKind::Server | ErrorKind::Corrupt
        )
}
