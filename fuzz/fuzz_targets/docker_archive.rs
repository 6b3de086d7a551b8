//! Any bytes as the `manifest.json` of a docker archive.
#![no_main]

#[path = "../bodies/docker_archive.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
