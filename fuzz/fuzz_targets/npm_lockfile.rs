//! Any bytes as npm's lockfile; what is chosen of it lies in `node_modules`, and its files below a
//! registry.
#![no_main]

#[path = "../bodies/npm_lockfile.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
