//! Any bytes as an `ar` archive; what is read has the size that was announced.
#![no_main]

#[path = "../bodies/ar.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
