//! Any bytes as an `ar` archive; what is read has the size that was announced.

use std::io::Read as _;

use ohoci_deps::debian::ar::ArReader;

pub(crate) fn run(data: &[u8]) -> bool {
    let mut archive = ArReader::new(data);
    let mut left = data.len() as u64;
    while let Ok(Some(member)) = archive.next_member() {
        let mut content = Vec::new();
        if archive.read_to_end(&mut content).is_err() {
            return false;
        }
        assert_eq!(content.len() as u64, member.size);
        left = left
            .checked_sub(member.size)
            .expect("no more than there is");
        assert!(!member.name.contains('/') && !member.name.is_empty());
    }
    true
}
