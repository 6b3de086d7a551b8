//! Any bytes as a `WWW-Authenticate` header.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let found = ohoci::registry::count_challenges(data);
    // A challenge needs at least its scheme and something between it and the next.
    assert!(found <= data.len());
});
