//! Any bytes as the index of a channel's shards, and as a shard; files of what it lists lie in the channel's directory.
#![no_main]

#[path = "../bodies/conda_shards.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    body::run(data);
});
