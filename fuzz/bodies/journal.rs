//! Any bytes as a journal: what is written of a record is read again.

use std::io::BufReader;

use ohoci_compose::batch::journal;

pub(crate) fn run(data: &[u8]) -> bool {
    // A small buffer, so that lines come in pieces.
    let records = journal::records(BufReader::with_capacity(7, data)).expect("memory is readable");
    for (key, record) in &records {
        let line = serde_json::to_vec(record).expect("a record is JSON");
        let again = journal::records(line.as_slice()).expect("memory is readable");
        assert_eq!(again.get(key), Some(record));
    }
    !records.is_empty()
}
