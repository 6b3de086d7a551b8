//! Any bytes as a source distribution; what is accepted makes an environment.
#![no_main]

#[path = "../bodies/sdist.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
