//! How much memory a run takes all together, looked at from outside: where it has no control group,
//! nothing else counts what its processes share and what lies in files in memory.

use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ohoci_layer::beneath;
use rustix::fs::{Mode, OFlags, ResolveFlags, fstatvfs};
use rustix::process::Pid;

use super::mount_table::Mount;
use super::open_files::with_descendants;

/// What the kernel calls files in memory that never had a name (memfd_create(2)), in links to them.
const NEVER_NAMED: &[u8] = b"/memfd:";

/// The bytes of memory that a process and all that come from it take: their own, and the larger one
/// of what they share and have mapped, and what lies in files in memory. (Mapped files are in both; no
/// more than twice the limit can be had by half of each.) What several have counts once as soon as
/// that matters: when the limit would be passed otherwise.
///
/// Segments of shmget(2) that no process has attached are in none of it.
pub(super) fn of_processes(first: Pid, limit: u64) -> u64 {
    let processes: Vec<_> = with_descendants(first.as_raw_pid())
        .into_iter()
        .map(|number| Path::new("/proc").join(number.to_string()))
        .collect();
    let files = in_file_systems(&processes).saturating_add(never_named(&processes));
    let sum = |file: &str, own: [&str; 2], shared: &str| {
        let (mut of_own, mut of_shared) = (0_u64, 0_u64);
        for process in &processes {
            // Those that are gone by now have nothing.
            let text = fs_err::read_to_string(process.join(file)).unwrap_or_default();
            let own = own.iter().map(|name| bytes(&text, name));
            of_own = own.fold(of_own, u64::saturating_add);
            of_shared = of_shared.saturating_add(bytes(&text, shared));
        }
        of_own.saturating_add(of_shared.max(files))
    };
    let roughly = sum("status", ["RssAnon:", "VmSwap:"], "RssShmem:");
    match roughly > limit {
        false => roughly,
        // Takes the kernel a while for processes that have much.
        true => sum("smaps_rollup", ["Pss_Anon:", "SwapPss:"], "Pss_Shmem:"),
    }
}

/// The bytes of a line such as `NAME: NUMBER kB`; none where there is no such line.
fn bytes(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next());
    let kilobytes: u64 = number.and_then(|number| number.parse().ok()).unwrap_or(0);
    kilobytes.saturating_mul(1024)
}

/// What files take that never had a name and that a process has open.
fn never_named(processes: &[PathBuf]) -> u64 {
    let mut known = HashSet::new();
    let mut all = 0_u64;
    for process in processes {
        let links = fs_err::read_dir(process.join("fd")).into_iter().flatten();
        for link in links.flatten() {
            let is_one = fs_err::read_link(link.path())
                .is_ok_and(|target| target.as_os_str().as_bytes().starts_with(NEVER_NAMED));
            if let (true, Ok(found)) = (is_one, fs_err::metadata(link.path()))
                && found.nlink() == 0
                && known.insert((found.dev(), found.ino()))
            {
                all = all.saturating_add(found.blocks().saturating_mul(512));
            }
        }
    }
    all
}

/// What the file systems in memory hold that are mounted in the sandbox.
fn in_file_systems(processes: &[PathBuf]) -> u64 {
    let own = identity(Path::new("/")).ok();
    // The first that is in the root file system is bubblewrap, whose mounts nothing inside can change.
    let inside = processes
        .iter()
        .find(|process| identity(&process.join("root")).is_ok_and(|root| Some(root) != own));
    inside.map_or(0, |inside| mounted(inside).unwrap_or(0))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs_err::metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn mounted(process: &Path) -> io::Result<u64> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(process.join("root"), flags, Mode::empty())?;
    let mut known = HashSet::new();
    let mut all = 0_u64;
    for mount in Mount::all_of(process)? {
        if mount.kind != "tmpfs" || !known.insert(mount.device) {
            continue;
        }
        // Links that a program makes on the way lead nowhere outside.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = Path::new(&mount.point);
        let opened = beneath::open(
            std::os::fd::AsFd::as_fd(&root),
            path,
            OFlags::PATH,
            Mode::empty(),
            resolve,
        );
        if let Ok(found) = opened.and_then(fstatvfs) {
            let used = found.f_blocks.saturating_sub(found.f_bfree);
            all = all.saturating_add(used.saturating_mul(found.f_frsize));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "Name:\tx\nRssAnon:\t    12 kB\n";
        assert_eq!(bytes(text, "RssAnon:"), 12 << 10);
        assert_eq!(bytes(text, "VmSwap:"), 0);
    }

    #[test]
    fn files_that_never_had_a_name_count_once() {
        let own = [PathBuf::from("/proc/self")];
        let before = never_named(&own);
        let mut file = std::fs::File::from(memfd_create("x", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&vec![1; 4 << 20]).unwrap();
        let again = file.try_clone().unwrap();
        assert_eq!(never_named(&own) - before, 4 << 20);
        let here = rustix::process::getpid();
        for limit in [0, u64::MAX] {
            assert!(of_processes(here, limit) >= 4 << 20);
        }
        drop((file, again));
    }
}
