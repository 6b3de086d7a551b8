//! Any bytes as the tarball of a package; what is accepted stays in the package's place.

use ohoci_deps::archive::Spool;
use ohoci_deps::npm::install::NodeModules;
use ohoci_deps::npm::{Lockfile, tarball};
use ohoci_layer::LayerPath;

const LOCKFILE: &str = r#"{"lockfileVersion": 3, "packages": {
    "": {"dependencies": {"a": "1.0.0"}},
    "node_modules/a": {"version": "1.0.0", "bin": {"a": "cli.js"},
        "integrity": "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}}}"#;

pub(crate) fn run(data: &[u8]) -> bool {
    let spool = Spool::create(&std::env::temp_dir()).expect("there is room");
    let lockfile = Lockfile::parse("package-lock.json", LOCKFILE.as_bytes()).expect("it is one");
    let (location, package) = lockfile.packages().iter().next().expect("there is one");
    let Ok(files) = tarball::read(package, data, data.len() as u64, &spool) else {
        return false;
    };
    let mut modules = NodeModules::new(LayerPath::root());
    if modules.add(location, package, files).is_err() {
        return false;
    }
    let Ok((tree, _)) = modules.finish() else {
        return false;
    };
    let place = LayerPath::parse(location.as_bytes()).expect("a path");
    let programs = LayerPath::parse(b"node_modules/.bin").expect("a path");
    for (path, entry) in &tree {
        let known = path.is_within(&place) || path.is_within(&programs) || place.is_within(path);
        assert!(known, "{path}");
        assert_eq!(entry.mode & 0o7000, 0, "{path}");
    }
    true
}
