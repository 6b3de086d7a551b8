//! Any bytes as the `manifest.json` of a docker archive.

pub(crate) fn run(data: &[u8]) -> bool {
    ohoci_store::docker_archive::count_images(data).is_some()
}
