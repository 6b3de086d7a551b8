//! Any bytes as an `index.json`: images are chosen from it, and it is written and read again.
#![no_main]

#[path = "../bodies/index.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
