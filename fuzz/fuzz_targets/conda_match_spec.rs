//! Any text as what asks for a package of conda, which is then looked for among some.
#![no_main]

#[path = "../bodies/conda_match_spec.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
