//! Any bytes as a wheel; what is accepted makes an environment in which everything stays in its
//! place.

use std::sync::LazyLock;

use ohoci_deps::archive::Spool;
use ohoci_deps::archive::zip::Limits;
use ohoci_deps::python::tags::{Chooser, Libc, Target};
use ohoci_deps::python::{Environment, Layout, wheel};
use ohoci_image::Platform;
use ohoci_layer::LayerPath;

static CHOOSER: LazyLock<Chooser> = LazyLock::new(|| {
    let platform = Platform::new("linux", "amd64");
    let target = Target::new(13, &platform, Libc::Glibc(28)).expect("wheels are built for it");
    target.chooser()
});

pub(crate) fn run(data: &[u8]) -> bool {
    let directory = std::env::temp_dir();
    let spool = Spool::create(&directory).expect("there is room");
    let limits = Limits {
        members: 1000,
        total: 1 << 20,
    };
    let name = "pkg-1.0-py3-none-any.whl";
    let length = data.len() as u64;
    let Ok(distribution) = wheel::read(name, data, length, &CHOOSER, limits, &spool) else {
        return false;
    };
    let root = LayerPath::parse(b"venv").expect("a path");
    let layout = Layout::new(root.clone(), 13, "/venv/bin/python3");
    let mut environment = Environment::new(layout, "/python/bin", "3.13.0");
    if environment.add(&distribution, true).is_err() {
        return false;
    }
    let Ok(tree) = environment.finish() else {
        return false;
    };
    for (path, entry) in &tree {
        assert!(path.is_within(&root), "{path}");
        assert_eq!(entry.mode & 0o7000, 0, "{path}");
    }
    true
}
