//! Any bytes as an `index.json`: images are chosen from it, and it is written and read again.

use ohoci_image::Digest;
use ohoci_store::layout::{Index, Selection};

pub(crate) fn run(data: &[u8]) -> bool {
    let Ok(index) = Index::parse(data.to_vec()) else {
        return false;
    };
    let names = index.names();
    for name in &names {
        let _ = index.choose(&Selection::Name(name.clone()));
    }
    let _ = index.choose(&Selection::Only);
    let _ = index.choose(&Selection::Digest(Digest::of(b"")));
    let again = Index::parse(index.to_bytes()).expect("what was written is read");
    assert_eq!(again.names(), names);
    true
}
