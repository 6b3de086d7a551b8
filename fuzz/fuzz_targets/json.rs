//! Any bytes as JSON of every kind of document: what is accepted is what `serde_json` reads, with no key
//! twice.
#![no_main]

#[path = "../bodies/json.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
