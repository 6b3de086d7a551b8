//! Any bytes as a wheel; what is accepted makes an environment in which everything stays in its
//! place.
#![no_main]

#[path = "../bodies/wheel.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
