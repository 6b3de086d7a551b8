//! Any bytes as a `WWW-Authenticate` header.

pub(crate) fn run(data: &[u8]) -> bool {
    let found = ohoci_registry::count_challenges(data);
    // A challenge needs at least its scheme and something between it and the next.
    assert!(found <= data.len());
    true
}
