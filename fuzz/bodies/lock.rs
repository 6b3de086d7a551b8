//! Any text as a lock; what is read is written and read again as the same.

use ohoci_deps::lock;

thread_local! {
    /// One for all inputs, because making one takes longer than anything else here.
    static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("there is room");
}

pub(crate) fn run(data: &[u8]) -> bool {
    let path = DIRECTORY.with(|directory| directory.path().join("x.lock"));
    fs_err::write(&path, data).expect("there is room");
    let Ok(Some(mut read)) = lock::read(&path) else {
        return false;
    };
    read.sort();
    fs_err::write(&path, lock::file::to_text(&read)).expect("there is room");
    let mut again = lock::read(&path)
        .expect("what was written can be read")
        .expect("it is there");
    again.sort();
    assert_eq!(again, read);
    true
}
