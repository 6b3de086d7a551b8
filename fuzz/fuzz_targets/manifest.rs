//! Any bytes as a manifest; what is read as an image is composed on, and the result is read again.
#![no_main]

#[path = "../bodies/manifest.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
