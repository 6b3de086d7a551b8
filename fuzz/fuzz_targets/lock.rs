//! Any text as a lock; what is read is written and read again as the same.
#![no_main]

#[path = "../bodies/lock.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
