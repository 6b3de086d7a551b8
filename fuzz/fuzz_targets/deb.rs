//! Any bytes as a Debian package; what is accepted has only paths that stay below the root.
#![no_main]

#[path = "../bodies/deb.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
