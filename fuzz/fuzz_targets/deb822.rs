//! Any text as the stanzas of an index: fields, versions, relations, files.
#![no_main]

#[path = "../bodies/deb822.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
