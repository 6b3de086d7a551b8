//! Files that a run keeps open and that have no name any more: they take room, and no walk through
//! directories finds them.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;

use fs_err as fs;
use rustix::fs::{
    AtFlags, CWD, FileType, MemfdFlags, Mode, OFlags, Stat, fstat, memfd_create, openat, statat,
    statfs,
};
use rustix::process::Pid;

/// How file systems in memory are called by the kernel (`linux/magic.h`): tmpfs, ramfs, hugetlbfs. What
/// they hold is memory, and limited as such.
const IN_MEMORY: [i64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

/// A file, wherever it is named: its device and number.
type File = (u64, u64);

/// What nameless files take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nameless {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

/// What the nameless files take that a process and everything below it have open or mapped. Processes
/// that end meanwhile are left out, as are files that are only in a message between two sockets; of one
/// that is only mapped, what is mapped counts.
pub(super) fn of_processes(first: Pid) -> Nameless {
    let mut open = HashMap::new();
    let mut mapped = HashMap::new();
    for process in with_descendants(first.as_raw_pid()) {
        // Those that are gone by now have nothing open.
        let _ = add_open(process, &mut open);
        let _ = add_mapped(process, &mut mapped);
    }
    // By its number alone: an overlay's files are on another device where they are mapped.
    let numbers: HashSet<u64> = open.keys().map(|(_, number)| *number).collect();
    mapped.retain(|(_, number), _| !numbers.contains(number));
    let mut all = Nameless::default();
    for bytes in open.into_values().flatten().chain(mapped.into_values()) {
        all.bytes = all.bytes.saturating_add(bytes);
        all.inodes = all.inodes.saturating_add(1);
    }
    all
}

/// A process and those that it started, those that they started, and so on. The kernel gives processes
/// whose parent has ended to the first of their namespace.
pub(super) fn with_descendants(first: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for entry in processes {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let parent = number.and_then(parent_of);
        if let (Some(number), Some(parent)) = (number, parent) {
            children.entry(parent).or_default().push(number);
        }
    }
    let mut all = vec![first];
    let mut next = 0;
    while let Some(process) = all.get(next) {
        next += 1;
        all.extend(children.remove(process).unwrap_or_default());
    }
    all
}

/// The same for processes of one thread of which none ends meanwhile: by the kernel's own lists where it
/// keeps them (`/proc/PID/task/TID/children`), without looking at all processes of this machine.
pub(super) fn with_living_descendants(first: i32) -> Vec<i32> {
    let mut all = vec![first];
    let mut next = 0;
    while let Some(process) = all.get(next) {
        let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
        match list {
            Ok(list) => {
                let numbers = list.split_ascii_whitespace();
                all.extend(numbers.filter_map(|number| number.parse::<i32>().ok()));
            }
            Err(_) => return with_descendants(first),
        }
        next += 1;
    }
    all
}

/// The parent of a process: the second word behind its name, which stands in brackets and may hold
/// brackets itself (proc(5)).
fn parent_of(process: i32) -> Option<i32> {
    let text = fs::read(format!("/proc/{process}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Adds the files that a process has open; those in memory without a size.
fn add_open(process: i32, to: &mut HashMap<File, Option<u64>>) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let all: OwnedFd = openat(CWD, format!("/proc/{process}/fd"), flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&all)? {
        let Ok(entry) = entry else { break };
        let Ok(stat) = statat(&all, entry.file_name(), AtFlags::empty()) else {
            continue;
        };
        let is_kind = |kind: FileType| kind.is_file() || kind.is_dir();
        if stat.st_nlink > 0 || !is_kind(FileType::from_raw_mode(stat.st_mode)) {
            continue;
        }
        let file = (stat.st_dev, stat.st_ino);
        if to.contains_key(&file) {
            continue;
        }
        let Ok(number) = entry.file_name().to_str() else {
            continue;
        };
        let path = format!("/proc/{process}/fd/{number}");
        let is_on_disk = statfs(path).is_ok_and(|found| !IN_MEMORY.contains(&found.f_type));
        to.insert(file, is_on_disk.then(|| taken(&stat)));
    }
    Ok(())
}

/// Adds the nameless files that a process has mapped, with how much of each.
fn add_mapped(process: i32, to: &mut HashMap<File, u64>) -> std::io::Result<()> {
    let maps = BufReader::new(fs::File::open(format!("/proc/{process}/maps"))?);
    let memory = memory_device();
    let mut here: HashMap<File, u64> = HashMap::new();
    let mut parts = HashSet::new();
    for line in maps.split(b'\n') {
        let line = line?;
        if let Some((file, offset, length)) = nameless_mapping(&line)
            && Some(file.0) != memory
            && parts.insert((file, offset))
        {
            let all = here.entry(file).or_default();
            *all = all.saturating_add(length);
        }
    }
    for (file, length) in here {
        let all = to.entry(file).or_default();
        *all = (*all).max(length);
    }
    Ok(())
}

/// The device of memory that processes share without a file system that is mounted (memfd_create(2),
/// shmget(2)), which is mapped as nameless files are.
fn memory_device() -> Option<u64> {
    let file = memfd_create("device", MemfdFlags::CLOEXEC).ok()?;
    Some(fstat(file).ok()?.st_dev)
}

/// A line of `maps` (proc(5)) about a file without a name: the file, where in it the mapping begins, and
/// its length. None about those in `/dev/shm`, which is memory in every sandbox.
fn nameless_mapping(line: &[u8]) -> Option<(File, u64, u64)> {
    let line = std::str::from_utf8(line.strip_suffix(b" (deleted)")?).ok()?;
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let offset = words.nth(1)?;
    let (major, minor) = words.next()?.split_once(':')?;
    let inode: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    if inode == 0 || name.starts_with("/dev/shm/") {
        return None;
    }
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let small = |text: &str| u32::from_str_radix(text, 16).ok();
    let device = rustix::fs::makedev(small(major)?, small(minor)?);
    let length = number(end)?.checked_sub(number(start)?)?;
    Some(((device, inode), number(offset)?, length))
}

/// The bytes that a file takes, which POSIX leaves open and Linux counts in blocks of 512 (stat(3)).
pub(super) fn taken(status: &Stat) -> u64 {
    u64::try_from(status.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_nameless_files_are_told_from_others() {
        let line = b"7f00-9f00 r--s 00001000 fe:01 1234                 /work/x y (deleted)";
        let device = rustix::fs::makedev(0xfe, 1);
        assert_eq!(
            nameless_mapping(line),
            Some(((device, 1234), 0x1000, 0x2000))
        );
        for other in [
            "7f00-9f00 r--s 00000000 fe:01 1234 /work/x",
            "7f00-9f00 rw-s 00000000 00:2a 12 /dev/shm/a (deleted)",
            "7f00-9f00 rw-p 00000000 00:00 0",
            " (deleted)",
        ] {
            assert_eq!(nameless_mapping(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn nameless_files_of_this_process_are_found_once() {
        let here = rustix::process::getpid();
        let before = of_processes(here);
        let mut file = tempfile::tempfile_in("/var/tmp").unwrap();
        std::io::Write::write_all(&mut file, &vec![1; 1 << 20]).unwrap();
        file.sync_all().unwrap();
        let again = file.try_clone().unwrap();
        let found = of_processes(here);
        assert_eq!(found.inodes - before.inodes, 1);
        assert!(found.bytes - before.bytes >= 1 << 20);
        drop((file, again));
        assert_eq!(of_processes(here), before);
    }

    #[test]
    fn children_are_found() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let number = i32::try_from(child.id()).unwrap();
        let all = with_descendants(rustix::process::getpid().as_raw_pid());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(all.contains(&number));
    }

    #[test]
    fn children_of_a_process_with_one_thread_are_found_by_its_own_list() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 60 & echo begun; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut begun = String::new();
        let output = shell.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut begun).unwrap();
        let first = i32::try_from(shell.id()).unwrap();
        let found = with_living_descendants(first);
        let expected = with_descendants(first);
        for number in found.iter().rev() {
            let process = Pid::from_raw(*number).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert_eq!((found.len(), &found), (2, &expected));
    }
}
