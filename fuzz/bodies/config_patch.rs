//! Any patch on any config: no panic, and an error leaves the config as it was.

use ohoci_image::config_patch::ConfigPatch;
use serde_json::{Map, Value};

pub(crate) fn run(data: &[u8]) -> bool {
    // The first line is a patch, the rest a config.
    let mut parts = data.splitn(2, |byte| *byte == b'\n');
    let (Some(first), Some(rest)) = (parts.next(), parts.next()) else {
        return false;
    };
    let Ok(patch) = serde_json::from_slice::<ConfigPatch>(first) else {
        return false;
    };
    let Ok(mut config) = serde_json::from_slice::<Map<String, Value>>(rest) else {
        return false;
    };
    let before = config.clone();
    match patch.apply(&mut config) {
        Ok(changes) => assert_eq!(changes.is_empty(), config == before),
        Err(_) => assert_eq!(config, before),
    }
    true
}
