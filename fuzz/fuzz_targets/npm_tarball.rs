//! Any bytes as the tarball of a package; what is accepted stays in the package's place.
#![no_main]

#[path = "../bodies/npm_tarball.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
