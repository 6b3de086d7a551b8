//! Any bytes as an archive of a recipe: a zip, or a tar in any compression.

use ohoci_deps::archive::source::from_archive;
use ohoci_deps::archive::{Selection, Spool};
use ohoci_layer::LayerPath;

thread_local! {
    /// One for all inputs, because making one takes longer than anything else here.
    static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("there is room");
}

pub(crate) fn run(data: &[u8]) -> bool {
    let path = DIRECTORY.with(|directory| directory.path().join("archive"));
    fs_err::write(&path, data).expect("there is room");
    let spool = Spool::create(&std::env::temp_dir()).expect("there is room");
    let to = LayerPath::parse(b"tool").expect("a path");
    let selection = Selection {
        strip: 1,
        to: to.clone(),
        ..Selection::default()
    };
    let file = fs_err::File::open(&path).expect("it was written");
    let Ok(tree) = from_archive(file, &selection, 1 << 20, &spool) else {
        return false;
    };
    for (path, _) in &tree {
        assert!(path.is_within(&to), "{path}");
    }
    true
}
