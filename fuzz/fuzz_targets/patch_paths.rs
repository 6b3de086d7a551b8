//! Any text as a patch: whatever stands around it, a patch to git's own files is refused.
#![no_main]

#[path = "../bodies/patch_paths.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
