//! Any text as a clear-signed release: nothing of it counts that nobody signed.
#![no_main]

#[path = "../bodies/release.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
