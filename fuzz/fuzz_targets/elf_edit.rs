//! Any bytes as an ELF file of a package; edits keep its length.
#![no_main]

#[path = "../bodies/elf_edit.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
