//! How this machine makes root file systems that can be written.

use std::io;
use std::os::unix::fs::MetadataExt as _;

use ohoci_node::LayerStore;
use ohoci_sandbox::CopyOnWrite;

use super::machine::Machine;

/// How this machine makes a root file system that can be written, and what is to be said of it. That it
/// mounts overlays is remembered until it is started anew, for these namespaces: in a container with
/// the same store it may be otherwise. Trying takes as long as starting a program does.
pub(super) fn find(
    machine: Machine<'_>,
    store: &LayerStore,
) -> io::Result<(CopyOnWrite, Option<String>)> {
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let device = fs_err::metadata(machine.scratch)?.dev();
    let namespace = |kind: &str| match fs_err::read_link(format!("/proc/self/ns/{kind}")) {
        Ok(name) => name.display().to_string(),
        Err(_) => String::new(),
    };
    let (mounts, users) = (namespace("mnt"), namespace("user"));
    let here = format!("{} {mounts} {users} {device}", boot.trim());
    if !boot.is_empty() && store.mounts_overlays(&here) {
        return Ok((CopyOnWrite::Overlay, None));
    }
    let lower = store.scratch();
    let (way, why) = CopyOnWrite::find_over(&lower, machine.path, machine.scratch)?;
    let note = why.map(|why| {
        format!(
            "no overlay can be mounted here over {} ({why}); using {} instead",
            store.path().display(),
            way.name()
        )
    });
    if note.is_none() {
        store.remember_overlays(&here);
    }
    Ok((way, note))
}
