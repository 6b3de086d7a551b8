//! Any bytes as an image config, and all that is read out of one.
#![no_main]

#[path = "../bodies/image_config.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
