//! What hosts a sandbox without a network knows.

use super::description::HOST_NAME;

/// The content of `/etc/hosts` for a sandbox that reaches nothing but itself: without it, not even
/// `localhost` has an address.
#[must_use]
pub fn local_hosts() -> String {
    format!("127.0.0.1\tlocalhost {HOST_NAME}\n::1\tlocalhost {HOST_NAME}\n")
}
