//! Any bytes as npm's lockfile; what is chosen of it lies in `node_modules`, and its files below a
//! registry.

use std::collections::BTreeSet;

use ohoci_deps::lock::is_relative;
use ohoci_deps::npm::choose::{Target, choose};
use ohoci_deps::npm::{Lockfile, manifest};
use ohoci_image::Platform;

pub(crate) fn run(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let _ = manifest::differences("{}", &text);
    let _ = manifest::differences(&text, "{}");
    let _ = manifest::without(&text, &BTreeSet::from(["a".to_owned()]));
    let Ok(lockfile) = Lockfile::parse("package-lock.json", data) else {
        return false;
    };
    let target = Target::new(&Platform::new("linux", "amd64"), true);
    let Ok(chosen) = choose(&lockfile, &target) else {
        return false;
    };
    for (location, package) in chosen {
        assert!(location.starts_with("node_modules/"), "{location}");
        assert!(!location.split('/').any(|name| name == ".."), "{location}");
        if let Some(file) = &package.file {
            assert!(is_relative(&file.path), "{}", file.path);
        }
    }
    true
}
