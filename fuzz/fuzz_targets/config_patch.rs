//! Any patch on any config: no panic, and an error leaves the config as it was.
#![no_main]

#[path = "../bodies/config_patch.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
