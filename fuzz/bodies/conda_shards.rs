//! Any bytes as the index of a channel's shards, and as a shard; files of what it lists lie in the channel's directory.

use ohoci_conda::shards::{ShardIndex, read_shard};

pub(crate) fn run(data: &[u8]) -> bool {
    let index = ShardIndex::read(data, "linux-64");
    if let Ok(index) = &index {
        let digest = index.shard("zlib");
        let is_hexadecimal = |text: &String| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(digest.is_none_or(|digest| digest.len() == 64 && is_hexadecimal(&digest)));
    }
    let shard = read_shard(data, "main", "linux-64", &|_| true);
    for listed in shard.iter().flatten() {
        if let Ok(located) = &listed.package {
            let path = located.path();
            assert!(located.is_consistent(), "{path}");
            assert_eq!(path.matches('/').count(), 1, "{path}");
            assert!(
                path.starts_with("linux-64/") && !path.contains("/."),
                "{path}"
            );
        }
    }
    index.is_ok() || shard.is_ok()
}
