//! Any bytes as a tar; what the strict rules accept is written anew and must read the same.

use std::io::Read;

use ohoci_layer::Rules;
use ohoci_layer::tar_read::{Limits, Member, TarError, TarReader};
use ohoci_layer::tar_write::TarWriter;

fn read(tar: &[u8], rules: Rules) -> Result<Vec<(Member, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(tar, rules, Limits::default());
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        members.push((member, content));
    }
    Ok(members)
}

pub(crate) fn run(data: &[u8]) -> bool {
    let foreign = read(data, Rules::Foreign);
    let Ok(members) = read(data, Rules::Strict) else {
        return false;
    };
    assert_eq!(foreign.expect("the foreign rules accept more"), members);
    let mut writer = TarWriter::new(Vec::new());
    for (member, content) in &members {
        writer
            .append(&member.path, &member.entry, &mut content.as_slice())
            .expect("what was read can be written");
    }
    let again = writer.finish().expect("memory takes everything");
    let again = read(&again, Rules::Strict).expect("what was written can be read");
    assert_eq!(again.len(), members.len());
    for ((new, new_content), (old, old_content)) in again.iter().zip(&members) {
        assert_eq!((&new.path, &new.entry), (&old.path, &old.entry));
        assert_eq!(new_content, old_content);
    }
    true
}
