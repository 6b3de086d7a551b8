//! Hostile tars, made field by field.

use super::*;
use crate::tar_write::TarWriter;
use proptest::prelude::*;
use tar::EntryType;

fn header(kind: u8, path: &str, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::new(kind));
    let name = &mut header.as_ustar_mut().unwrap().name;
    name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_cksum();
    header
}

/// A header that has been changed, with its checksum made right again.
fn changed(mut header: Header, change: impl FnOnce(&mut tar::UstarHeader)) -> Header {
    change(header.as_ustar_mut().unwrap());
    header.set_cksum();
    header
}

fn linked(kind: u8, path: &str, target: &str) -> Header {
    changed(header(kind, path, 0), |ustar| {
        ustar.linkname[..target.len()].copy_from_slice(target.as_bytes());
    })
}

fn member(header: &Header, content: &[u8]) -> Vec<u8> {
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn extension(kind: u8, content: &[u8]) -> Vec<u8> {
    member(&header(kind, "extension", content.len() as u64), content)
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let records = records.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    extension(b'x', &pax::format(&records.collect()))
}

fn file(path: &str, content: &[u8]) -> Vec<u8> {
    member(&header(b'0', path, content.len() as u64), content)
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), vec![0; 2 * BLOCK]].concat()
}

fn read_by(rules: Rules, tar: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, TarError> {
    let mut reader = TarReader::new(tar, rules, Limits::default());
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content)?;
        members.push((member, content));
    }
    Ok(members)
}

fn read(tar: &[u8]) -> Result<Vec<(Member, Vec<u8>)>, TarError> {
    read_by(Rules::Strict, tar)
}

#[track_caller]
fn refused(tar: &[u8], reason: &str) {
    for rules in [Rules::Strict, Rules::Foreign] {
        let error = read_by(rules, tar).unwrap_err().to_string();
        assert!(error.contains(reason), "{rules:?}: {error}");
    }
}

#[test]
fn files_with_holes_are_read_with_zeros_in_them() {
    let whole = |records: &[(&str, &str)], stored: &[u8]| {
        let members = read(&tar(&[
            [pax(records), file("GNUSparseFile.0/s", stored)].concat()
        ]));
        let (member, content) = members.unwrap().remove(0);
        assert_eq!(member.entry.kind, Kind::File(content.len() as u64));
        (member.path.to_string(), content)
    };
    let mut map = b"2\n1\n2\n5\n1\n".to_vec();
    map.resize(BLOCK, 0);
    let named = ("/s".to_owned(), b"\0ab\0\0c\0".to_vec());
    let one = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.realsize", "7"),
    ];
    assert_eq!(whole(&one, &[&map[..], b"abc"].concat()), named);
    let inline = [
        ("GNU.sparse.map", "1,2,5,1"),
        ("GNU.sparse.name", "s"),
        ("GNU.sparse.numblocks", "2"),
        ("GNU.sparse.size", "7"),
    ];
    assert_eq!(whole(&inline, b"abc"), named);
    // A map that lies about what is stored, and one that would fill a disk.
    for (map, size, says) in [
        ("0,2", "7", "malformed"),
        ("0,3", "99999999999999", "holes"),
    ] {
        let records = [("GNU.sparse.map", map), ("GNU.sparse.size", size)];
        let bytes = tar(&[[pax(&records), file("s", b"abc")].concat()]);
        refused(&bytes, says);
    }
}

#[test]
fn spellings_of_other_writers_are_understood() {
    let long = "n".repeat(150);
    let old = {
        let mut old = header(0, "d/", 0);
        old.as_mut_bytes()[257..].fill(0);
        old.as_old_mut().linkflag = [0];
        old.set_cksum();
        member(&old, b"")
    };
    let members = read(&tar(&[
        extension(
            b'g',
            &pax::format(&[(b"comment".to_vec(), b"c0ffee".to_vec())].into()),
        ),
        file("./a", b"1"),
        file("/b", b"2"),
        old,
        [
            extension(b'L', format!("{long}\0").as_bytes()),
            file("nn", b"3"),
        ]
        .concat(),
        [
            pax(&[("path", "p/x"), ("mtime", "-1.5"), ("uid", "3000000")]),
            file("q", b"4"),
        ]
        .concat(),
        [
            pax(&[("SCHILY.xattr.user.a", "\n7 x=y\n"), ("vendor.key", "")]),
            member(&linked(b'1', "link", "./a"), b""),
        ]
        .concat(),
    ]))
    .unwrap();
    let paths: Vec<_> = members.iter().map(|(m, _)| m.path.to_string()).collect();
    let long = format!("/{long}");
    assert_eq!(paths, ["/a", "/b", "/d", &long, "/p/x", "/link"]);
    let contents: Vec<_> = members
        .iter()
        .map(|(_, content)| content.as_slice())
        .collect();
    assert_eq!(contents, [b"1".as_slice(), b"2", b"", b"3", b"4", b""]);
    assert!(members[2].0.entry.is_directory());
    assert_eq!(
        (members[4].0.entry.mtime, members[4].0.entry.uid),
        (-2, 3_000_000)
    );
    assert_eq!(
        members[5].0.entry.kind,
        Kind::Hardlink(LayerPath::parse(b"a").unwrap())
    );
    assert_eq!(
        members[5].0.entry.xattrs[b"user.a".as_slice()],
        b"\n7 x=y\n"
    );
}

#[test]
fn paths_and_links_that_lead_out_are_refused() {
    refused(&tar(&[file("../a", b"")]), "leads out");
    refused(&tar(&[file("a/../../b", b"")]), "leads out");
    refused(
        &tar(&[[pax(&[("path", "/../a")]), file("a", b"")].concat()]),
        "leads out",
    );
    refused(
        &tar(&[member(&linked(b'1', "a", "../../etc/passwd"), b"")]),
        "leads out",
    );
    refused(&tar(&[file(".", b"")]), "root must be a directory");
    refused(
        &tar(&[member(&linked(b'1', "a", "./"), b"")]),
        "link to the root",
    );
    refused(&tar(&[file("", b"")]), "is empty");
    refused(&tar(&[member(&linked(b'2', "a", ""), b"")]), "link target");
    refused(
        &tar(&[[pax(&[("path", "a\0b")]), file("a", b"")].concat()]),
        "NUL",
    );
    let name = "n".repeat(256);
    refused(
        &tar(&[[pax(&[("path", &name)]), file("a", b"")].concat()]),
        "255 bytes",
    );
}

#[test]
fn what_readers_disagree_about_is_refused() {
    let with_pax = |records: &[(&str, &str)], rest: Vec<u8>| tar(&[[pax(records), rest].concat()]);
    refused(
        &with_pax(&[("size", "0")], file("a", &[0; 512])),
        "PAX header 0",
    );
    refused(
        &with_pax(&[("size", "512")], file("a", b"")),
        "PAX header 512",
    );
    refused(&with_pax(&[("size", "-1")], file("a", b"")), "no number");
    refused(
        &with_pax(&[("GNU.sparse.major", "1")], file("a", b"")),
        "sparse",
    );
    refused(
        &tar(&[[pax(&[]), pax(&[]), file("a", b"")].concat()]),
        "two extension headers",
    );
    let both = [
        extension(b'L', b"x\0"),
        pax(&[("path", "y")]),
        file("a", b""),
    ]
    .concat();
    refused(&tar(&[both]), "different names");
    refused(&tar(&[file("a/", b"")]), "slash behind");
    let global = pax::format(&[(b"path".to_vec(), b"x".to_vec())].into());
    let global = tar(&[extension(b'g', &global), file("a", b"")]);
    let error = read_by(Rules::Strict, &global).unwrap_err().to_string();
    assert!(error.contains("global PAX"), "{error}");
    // Whoever unpacks images ignores it.
    let members = read_by(Rules::Foreign, &global).unwrap();
    assert_eq!(members[0].0.path.to_string(), "/a");
    for kind in *b"12356" {
        let sized = changed(linked(kind, "a", "b"), |ustar| ustar.size[10] = b'1');
        refused(&tar(&[member(&sized, b"x")]), "cannot have a size");
    }
    for (kind, reason) in [
        (b'S', "sparse"),
        (b'7', "type \"7\""),
        (b'D', "type"),
        (b'V', "type"),
    ] {
        refused(&tar(&[member(&header(kind, "a", 0), b"")]), reason);
    }
    let version = changed(header(b'0', "a", 0), |ustar| ustar.version = *b"11");
    refused(&tar(&[member(&version, b"")]), "unknown version");
}

#[test]
fn sizes_from_8_gib_come_from_the_pax_header() {
    let bytes = [pax(&[("size", "8589934592")]), file("a", b"")].concat();
    let mut reader = TarReader::new(bytes.as_slice(), Rules::Strict, Limits::default());
    let member = reader.next_member().unwrap().unwrap();
    assert_eq!(member.entry.kind, Kind::File(1 << 33));
    assert!(
        reader
            .next_member()
            .unwrap_err()
            .to_string()
            .contains("cut off")
    );
}

#[test]
fn lying_sizes_and_numbers_are_refused() {
    let huge = changed(header(b'0', "a", 0), |ustar| {
        ustar.size = *b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff";
    });
    refused(&tar(&[member(&huge, b"")]), "cut off");
    let beyond = changed(header(b'0', "a", 0), |ustar| {
        ustar.size = *b"\x80\x01\0\0\0\0\0\0\0\0\0\0";
    });
    refused(&tar(&[member(&beyond, b"")]), "no number");
    let negative = changed(header(b'0', "a", 0), |ustar| ustar.size = [0xff; 12]);
    refused(&tar(&[member(&negative, b"")]), "no number");
    let owner = changed(header(b'0', "a", 0), |ustar| {
        ustar.uid = *b"\x80\0\0\x01\0\0\0\0";
    });
    refused(&tar(&[member(&owner, b"")]), "uid is out of range");
    let long = changed(header(b'L', "a", 0), |ustar| ustar.size = *b"77777777777\0");
    refused(&tar(&[member(&long, b"")]), "too many");
}

#[test]
fn a_damaged_header_is_refused() {
    let good = tar(&[file("a", b""), file("b", b"")]);
    for at in [0, 100, 124, 156, 263] {
        let mut bad = good.clone();
        bad[BLOCK + at] ^= 1;
        refused(&bad, "wrong checksum");
    }
    refused(b"#!/bin/sh\n", "inside a header");
    refused(&[b'x'; 600], "this is no tar");
    refused(b"", "empty");
}

#[test]
fn whatever_is_cut_off_is_refused() {
    let whole = tar(&[
        file("a", b"one"),
        [pax(&[("path", "b")]), file("x", b"two")].concat(),
    ]);
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "{length}");
    }
    assert_eq!(read(&whole).unwrap().len(), 2);
}

#[test]
fn an_end_that_runtimes_accept_is_accepted_from_others_only() {
    let member = file("a", b"one");
    let junk = [tar(std::slice::from_ref(&member)), b"junk".to_vec()].concat();
    for bytes in [member, junk] {
        assert!(read(&bytes).is_err());
        assert_eq!(read_by(Rules::Foreign, &bytes).unwrap().len(), 1);
    }
    assert!(read(&tar(&[])).unwrap().is_empty(), "Docker's empty layer");
}

#[test]
fn everything_is_read_to_the_end() {
    let bytes = [tar(&[file("a", b"")]), vec![0; 20_000]].concat();
    let mut input = bytes.as_slice();
    let mut reader = TarReader::new(&mut input, Rules::Foreign, Limits::default());
    while reader.next_member().unwrap().is_some() {}
    assert!(input.is_empty());
}

#[test]
fn whiteouts_are_recognised() {
    let members = read(&tar(&[file("a/.wh.b", b""), file("a/.wh..wh..opq", b"")])).unwrap();
    let path = |raw: &str| LayerPath::parse(raw.as_bytes()).unwrap();
    assert_eq!(members[0].0.whiteout, Some(Whiteout::Path(path("a/b"))));
    assert_eq!(members[1].0.whiteout, Some(Whiteout::Below(path("a"))));
    refused(&tar(&[file("a/.wh.", b"")]), "whiteout");
    refused(&tar(&[file("a/.wh...", b"")]), "whiteout");
    refused(
        &tar(&[member(&header(b'5', "a/.wh.b", 0), b"")]),
        "empty file",
    );
    let bookkeeping = tar(&[file(".wh..wh.plnk/1.2", b"x"), file("a", b"y")]);
    assert!(read(&bookkeeping).is_err());
    let members = read_by(Rules::Foreign, &bookkeeping).unwrap();
    assert_eq!(
        (members.len(), members[0].1.as_slice()),
        (1, b"y".as_slice())
    );
}

#[test]
fn limits_hold() {
    let many = tar(&[file("a", b""), file("b", b""), file("c", b"")]);
    let limits = [
        Limits {
            members: 2,
            ..Limits::default()
        },
        Limits {
            metadata: 2,
            ..Limits::default()
        },
    ];
    for limits in limits {
        let mut reader = TarReader::new(many.as_slice(), Rules::Foreign, limits);
        assert!(reader.next_member().is_ok());
        assert!(reader.next_member().is_ok());
        assert!(reader.next_member().is_err());
    }
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        let _ = read_by(Rules::Foreign, &bytes);
    }

    #[test]
    fn changed_tars_do_no_harm_and_what_is_accepted_can_be_written(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        fix in any::<bool>(),
    ) {
        let mut writer = TarWriter::new(Vec::new());
        let long = LayerPath::parse("n/".repeat(90).as_bytes()).unwrap();
        let mut entry = Entry::new(Kind::File(700), 0o644);
        entry.xattrs.insert(b"user.a".to_vec(), vec![1; 300]);
        writer.append(&long, &entry, &mut io::repeat(7)).unwrap();
        let link = Entry::new(Kind::Hardlink(long), 0o644);
        writer.append(&LayerPath::parse(b"a").unwrap(), &link, &mut io::empty()).unwrap();
        let mut bytes = writer.finish().unwrap();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if fix {
            // So that changes reach what is behind the checksum.
            for block in bytes.chunks_exact_mut(BLOCK) {
                let mut header = Header::new_old();
                header.as_mut_bytes().copy_from_slice(block);
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let _ = read_by(Rules::Foreign, &bytes);
        if let Ok(members) = read(&bytes) {
            let mut writer = TarWriter::new(Vec::new());
            for (member, content) in &members {
                writer.append(&member.path, &member.entry, &mut content.as_slice()).unwrap();
            }
            let again = read(&writer.finish().unwrap()).unwrap();
            prop_assert_eq!(again.len(), members.len());
            for ((new, new_content), (old, old_content)) in again.iter().zip(&members) {
                prop_assert_eq!((&new.path, &new.entry), (&old.path, &old.entry));
                prop_assert_eq!(new_content, old_content);
            }
        }
    }
}
