//! Any bytes as an archive of a recipe: a zip, or a tar in any compression.
#![no_main]

#[path = "../bodies/archive.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
