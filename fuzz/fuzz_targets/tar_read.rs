//! Any bytes as a tar; what the strict rules accept is written anew and must read the same.
#![no_main]

#[path = "../bodies/tar_read.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
