//! Any bytes as a source distribution; what is accepted makes an environment.

use ohoci_deps::archive::Spool;
use ohoci_deps::python::sdist::{self, BuildScript};
use ohoci_deps::python::{Environment, Layout};
use ohoci_layer::LayerPath;

thread_local! {
    /// One for all inputs, because making one takes longer than anything else here.
    static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("there is room");
}

pub(crate) fn run(data: &[u8]) -> bool {
    let path = DIRECTORY.with(|directory| directory.path().join("pkg-1.0.tar.gz"));
    fs_err::write(&path, data).expect("there is room");
    let spool = Spool::create(&std::env::temp_dir()).expect("there is room");
    let file = || fs_err::File::open(&path).expect("it was written");
    let _ = sdist::metadata_of("pkg-1.0.tar.gz", file(), BuildScript::LeftOut, &spool);
    let Ok(distribution) = sdist::read_file("pkg-1.0.tar.gz", file(), BuildScript::LeftOut, &spool)
    else {
        return false;
    };
    let root = LayerPath::parse(b"venv").expect("a path");
    let layout = Layout::new(root.clone(), 13, "/venv/bin/python3");
    let mut environment = Environment::new(layout, "/python/bin", "3.13.0");
    if environment.add(&distribution, true).is_err() {
        return false;
    }
    for (path, _) in &environment.finish().unwrap_or_default() {
        assert!(path.is_within(&root), "{path}");
    }
    true
}
