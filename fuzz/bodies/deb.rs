//! Any bytes as a Debian package; what is accepted has only paths that stay below the root.

use ohoci_deps::debian::deb;

pub(crate) fn run(data: &[u8]) -> bool {
    let Ok(deb) = deb::parse(data, &std::env::temp_dir()) else {
        return false;
    };
    for (path, _) in &deb.tree {
        assert!(
            path.names()
                .all(|name| name != b".." && !name.contains(&b'/'))
        );
    }
    for path in deb.licences.keys() {
        assert!(deb.tree.get(path).is_some(), "{path}");
    }
    true
}
