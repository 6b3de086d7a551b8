//! The numbers of calls, by architecture (Linux 6.17, `arch/x86/entry/syscalls/syscall_64.tbl` and
//! `scripts/syscall.tbl`).

/// What a filter has to know of an architecture.
#[derive(Debug)]
pub(super) struct Architecture {
    /// Its name in filters (`linux/audit.h`).
    pub(super) audit: u32,
    /// The last call that this list knows of.
    pub(super) last: u32,
    /// What no program in a sandbox may do.
    pub(super) refused: &'static [u32],
    /// Making and entering namespaces, and mounting.
    pub(super) namespaces: &'static [u32],
    /// Giving files away.
    pub(super) chown: &'static [u32],
    /// What sets a file's mode, and which argument that is.
    pub(super) modes: &'static [(u32, u32)],
    /// What opens files, and which argument the flags are; the mode is the next.
    pub(super) opens: &'static [(u32, u32)],
    /// Single ones.
    pub(super) numbers: Numbers,
}

/// The numbers of calls that have rules of their own.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) clone: u32,
    pub(super) clone3: u32,
    pub(super) ioctl: u32,
    pub(super) openat2: u32,
    pub(super) personality: u32,
    pub(super) socket: u32,
}

/// `x86_64` and `aarch64`.
#[rustfmt::skip]
pub(super) static ARCHITECTURES: [Architecture; 2] = [
    Architecture {
        audit: 0xc000_003e,
        last: 469,
        refused: &[
            103, // syslog
            134, // uselib
            136, // ustat
            139, // sysfs
            153, // vhangup
            156, // _sysctl
            163, // acct
            164, // settimeofday
            167, // swapon
            168, // swapoff
            169, // reboot
            170, // sethostname
            171, // setdomainname
            172, // iopl
            173, // ioperm
            174, // create_module
            175, // init_module
            176, // delete_module
            177, // get_kernel_syms
            178, // query_module
            179, // quotactl
            180, // nfsservctl
            212, // lookup_dcookie
            227, // clock_settime
            237, // mbind
            238, // set_mempolicy
            239, // get_mempolicy
            246, // kexec_load
            248, // add_key
            249, // request_key
            250, // keyctl
            256, // migrate_pages
            279, // move_pages
            298, // perf_event_open
            300, // fanotify_init
            304, // open_by_handle_at
            305, // clock_adjtime
            313, // finit_module
            320, // kexec_file_load
            321, // bpf
            323, // userfaultfd
            425, // io_uring_setup
            426, // io_uring_enter
            427, // io_uring_register
            438, // pidfd_getfd
            440, // process_madvise
            443, // quotactl_fd
            450, // set_mempolicy_home_node
        ],
        namespaces: &[
            155, // pivot_root
            165, // mount
            166, // umount2
            272, // unshare
            308, // setns
            428, // open_tree
            429, // move_mount
            430, // fsopen
            431, // fsconfig
            432, // fsmount
            433, // fspick
            442, // mount_setattr
            467, // open_tree_attr
        ],
        chown: &[92, 93, 94, 260],
        modes: &[
            (90, 1), // chmod
            (85, 1), // creat
            (91, 1), // fchmod
            (268, 2), // fchmodat
            (452, 2), // fchmodat2
            (133, 1), // mknod
            (259, 2), // mknodat
        ],
        opens: &[
            (2, 1), // open
            (257, 2), // openat
        ],
        numbers: Numbers {
            clone: 56,
            clone3: 435,
            ioctl: 16,
            openat2: 437,
            personality: 135,
            socket: 41,
        },
    },
    Architecture {
        audit: 0xc000_00b7,
        last: 469,
        refused: &[
            18, // lookup_dcookie
            42, // nfsservctl
            58, // vhangup
            60, // quotactl
            89, // acct
            104, // kexec_load
            105, // init_module
            106, // delete_module
            112, // clock_settime
            116, // syslog
            142, // reboot
            161, // sethostname
            162, // setdomainname
            170, // settimeofday
            217, // add_key
            218, // request_key
            219, // keyctl
            224, // swapon
            225, // swapoff
            235, // mbind
            236, // get_mempolicy
            237, // set_mempolicy
            238, // migrate_pages
            239, // move_pages
            241, // perf_event_open
            262, // fanotify_init
            265, // open_by_handle_at
            266, // clock_adjtime
            273, // finit_module
            280, // bpf
            282, // userfaultfd
            294, // kexec_file_load
            425, // io_uring_setup
            426, // io_uring_enter
            427, // io_uring_register
            438, // pidfd_getfd
            440, // process_madvise
            443, // quotactl_fd
            450, // set_mempolicy_home_node
        ],
        namespaces: &[
            39, // umount2
            40, // mount
            41, // pivot_root
            97, // unshare
            268, // setns
            428, // open_tree
            429, // move_mount
            430, // fsopen
            431, // fsconfig
            432, // fsmount
            433, // fspick
            442, // mount_setattr
            467, // open_tree_attr
        ],
        chown: &[54, 55],
        modes: &[
            (52, 1), // fchmod
            (53, 2), // fchmodat
            (452, 2), // fchmodat2
            (33, 2), // mknodat
        ],
        opens: &[
            (56, 2), // openat
        ],
        numbers: Numbers {
            clone: 220,
            clone3: 435,
            ioctl: 29,
            openat2: 437,
            personality: 92,
            socket: 198,
        },
    },
];
