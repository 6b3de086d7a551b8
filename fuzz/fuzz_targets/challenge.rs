//! Any bytes as a `WWW-Authenticate` header.
#![no_main]

#[path = "../bodies/challenge.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
