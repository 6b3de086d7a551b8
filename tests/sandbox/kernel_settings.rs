//! Nothing of the kernel can be changed from inside, and root outside is not root inside.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::scene::{Scene, processes};

/// Opens everything below `/proc` and `/sys` for writing that is no process's own, and writes
/// nothing. Says what could be opened, and whether there was something to be opened at all.
const OPEN_ALL: &str = r#"
use Fcntl;
my $seen = 0;
sub look {
    my ($path) = @_;
    return if $path =~ m{^/proc/(\d+|self|thread-self)$} || -l $path;
    if (-d $path) {
        opendir(my $directory, $path) or return;
        look("$path/$_") for sort grep { $_ ne '.' && $_ ne '..' } readdir $directory;
        return;
    }
    $seen++;
    print "$path\n" if sysopen(my $file, $path, O_WRONLY | O_NONBLOCK);
}
look('/proc');
look('/sys') if -d '/sys';
print $seen > 100 ? "looked\n" : "only $seen\n";
"#;

#[test]
fn nothing_of_the_kernel_can_be_opened_for_writing() {
    let scene = Scene::new();
    for flags in [
        &[][..],
        &["-u", "1000"],
        &["--read-only"],
        &["--network", "host"],
        &["-u", "1000", "--read-only", "--network", "host"],
    ] {
        let opened = scene.perl(flags, OPEN_ALL);
        assert_eq!(opened, "looked\n", "{flags:?}");
    }
}

#[test]
fn what_runtimes_mask_cannot_be_read() {
    let scene = Scene::new();
    let script = "for name in kcore keys interrupts timer_list sched_debug latency_stats; do
        cat /proc/$name 2>/dev/null; done; ls -A /proc/acpi /proc/scsi /proc/asound 2>/dev/null |
        grep -v : ; true";
    assert_eq!(scene.says(&[], script).trim(), "");
}

#[test]
fn root_outside_is_not_root_inside() {
    let scene = Scene::new();
    let mark = format!("mark-{}-identity", std::process::id());
    let script = format!(": {mark}; echo started; read line");
    for flags in [&[][..], &["-u", "1000"]] {
        let mut child = scene
            .command(flags, &script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "started\n");
        let others: Vec<_> = processes(&mark)
            .into_iter()
            .filter(|pid| *pid != child.id())
            .collect();
        assert!(others.len() >= 2, "{others:?}");
        let own = rustix::process::geteuid().as_raw();
        for pid in others {
            let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
            for field in ["Uid:", "Gid:"] {
                let ids = status.lines().find_map(|line| line.strip_prefix(field));
                let ids: Vec<u32> = ids
                    .unwrap()
                    .split_whitespace()
                    .map(|id| id.parse().unwrap())
                    .collect();
                let is_right = |id: &u32| if own == 0 { *id != 0 } else { true };
                assert!(ids.iter().all(is_right), "{flags:?} {pid} {field} {ids:?}");
            }
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn what_is_written_into_a_root_file_system_belongs_to_its_owner() {
    use std::os::unix::fs::MetadataExt as _;
    let scene = Scene::new();
    scene.says(
        &[],
        "echo new > /opt/new; mkdir /opt/deep; echo more >> /opt/new",
    );
    let owner = fs_err::metadata(&scene.root).unwrap().uid();
    for name in ["opt/new", "opt/deep"] {
        let found = fs_err::metadata(scene.root.join(name)).unwrap();
        assert_eq!(found.uid(), owner, "{name}");
    }
}
