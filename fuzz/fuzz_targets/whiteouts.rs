//! Any bytes as the layers of an image, one behind the other: listed, and flattened with their
//! whiteouts, within limits.
#![no_main]

#[path = "../bodies/whiteouts.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
