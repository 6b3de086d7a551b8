//! What hosts a sandbox without a network knows.

/// The content of `/etc/hosts` for a sandbox of that name that reaches nothing but itself: without it,
/// not even `localhost` has an address.
#[must_use]
pub fn local_hosts(host_name: &str) -> String {
    format!("127.0.0.1\tlocalhost {host_name}\n::1\tlocalhost {host_name}\n")
}
