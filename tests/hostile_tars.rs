//! Layers that mean harm, unpacked: whatever they say, nothing outside of the directory is touched,
//! and nothing inside is dangerous to the host.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ohoci_layer::limits::{Budget, UnpackLimits};
use ohoci_layer::{LayerPath, flatten};
use ohoci_unpack::{Owners, unpack};

/// A member of a tar, field by field (POSIX.1-2017, pax, "ustar Interchange Format").
#[derive(Clone)]
struct Member {
    name: Vec<u8>,
    kind: u8,
    link: Vec<u8>,
    /// The field as it stands in the header.
    size: [u8; 12],
    mode: u32,
    content: Vec<u8>,
}

fn octal(number: usize) -> [u8; 12] {
    let mut field = [0; 12];
    field[..11].copy_from_slice(format!("{number:011o}").as_bytes());
    field
}

fn member(kind: u8, name: &str, link: &str) -> Member {
    let content = match kind {
        b'0' | b'\0' | b'7' => b"harm".to_vec(),
        _ => Vec::new(),
    };
    Member {
        name: name.into(),
        kind,
        link: link.into(),
        size: octal(content.len()),
        mode: 0o6777,
        content,
    }
}

fn file(name: &str) -> Member {
    member(b'0', name, "")
}

/// An extension header of this kind (`x` and `g` of pax, `L` and `K` of GNU's tar).
fn extension(kind: u8, content: &[u8]) -> Member {
    Member {
        size: octal(content.len()),
        content: content.to_vec(),
        ..member(kind, "extension", "")
    }
}

/// A pax header with one record.
fn pax(key: &str, value: &str) -> Member {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    extension(b'x', format!("{length}{rest}").as_bytes())
}

impl Member {
    fn bytes(&self) -> Vec<u8> {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, most: usize, bytes: &[u8]| {
            let bytes = &bytes[..bytes.len().min(most)];
            header[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, 100, &self.name);
        put(100, 8, format!("{:07o}\0", self.mode).as_bytes());
        put(108, 8, b"0000000\0");
        put(116, 8, b"0000000\0");
        put(124, 12, &self.size);
        put(136, 12, b"00000000000\0");
        put(148, 8, b"        ");
        put(156, 1, &[self.kind]);
        put(157, 100, &self.link);
        put(257, 8, b"ustar\x0000");
        put(329, 16, b"0000001\x000000003\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&self.content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

fn tar(members: &[Member]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.iter().flat_map(Member::bytes).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// Every type that a member can have.
const KINDS: [u8; 10] = *b"0\x001234567S";

/// What each of them is called, what it is, and whether it has to be refused.
fn cases(outside: &Path) -> Vec<(String, Vec<u8>, bool)> {
    let absolute = format!("{}/escaped", outside.display());
    let victim = format!("{}/victim", outside.display());
    let upwards = format!("{}{victim}", "../".repeat(16).trim_end_matches('/'));
    let mut cases = Vec::new();
    let mut add = |name: String, members: &[Member], refused: bool| {
        cases.push((name, tar(members), refused));
    };
    let long = "n".repeat(256);
    let deep = "d/".repeat(2100) + "f";
    let leading = [
        "../escaped",
        "..",
        "./../escaped",
        "/../escaped",
        "a/../../escaped",
        "a/./../../escaped",
        "a//../..//escaped",
        &upwards,
    ];
    for kind in KINDS {
        let shown = char::from(kind).escape_default();
        for name in leading {
            let members = [member(kind, name, "victim")];
            add(format!("{shown} named {name}"), &members, true);
            let members = [pax("path", name), member(kind, "a", "victim")];
            add(format!("{shown} named {name} by pax"), &members, true);
        }
        for name in [&absolute, &victim, "///a", "a\\..\\..\\escaped"] {
            add(
                format!("{shown} named {name}"),
                &[member(kind, name, &victim)],
                false,
            );
        }
        for target in ["/", &victim, &upwards, outside.to_str().unwrap()] {
            for through in [b'1', b'2'] {
                let members = [
                    member(through, "door", target),
                    member(kind, "door/escaped", &victim),
                    member(kind, "door", &victim),
                ];
                let name = format!("{shown} through a link of type {through} to {target}");
                add(name, &members, false);
            }
        }
        let members = [
            member(b'2', "one", "two"),
            member(b'2', "two", "one"),
            member(kind, "one/a", "one"),
        ];
        add(format!("{shown} below a circle"), &members, false);
        let members = [
            extension(b'L', format!("{absolute}\0").as_bytes()),
            member(kind, "a", "a"),
        ];
        add(format!("{shown} with a long name"), &members, false);
    }
    for target in [&upwards as &str, "..", "../../etc/shadow"] {
        add(
            format!("a hard link to {target}"),
            &[member(b'1', "a", target)],
            true,
        );
        let members = [pax("linkpath", target), member(b'1', "a", "b")];
        add(format!("a hard link to {target} by pax"), &members, true);
        let members = [
            extension(b'K', format!("{target}\0").as_bytes()),
            member(b'1', "a", "b"),
        ];
        add(format!("a hard link to {target} by GNU"), &members, true);
    }
    let sized = |size: [u8; 12]| [Member { size, ..file("a") }];
    add("a size of 8 GiB".into(), &sized(*b"77777777777\0"), true);
    let mut binary = [0xff; 12];
    binary[0] = 0x80;
    add("a size of 2^88".into(), &sized(binary), true);
    add("a negative size".into(), &sized([0xff; 12]), true);
    add(
        "a size that is no number".into(),
        &sized(*b"not a number"),
        true,
    );
    for size in ["18446744073709551616", "-1", "9223372036854775807", "1e9"] {
        add(
            format!("a size of {size} by pax"),
            &[pax("size", size), file("a")],
            true,
        );
    }
    for (name, value) in [
        ("NUL", "a\0b"),
        ("a long component", &long),
        ("a deep path", &deep),
    ] {
        let refused = name != "a deep path";
        add(name.into(), &[pax("path", value), file("a")], refused);
    }
    let link = Member {
        name: b"a\0../escaped".to_vec(),
        ..file("a")
    };
    add("something behind the name".into(), &[link], false);
    let swapped = [
        member(b'5', "d", ""),
        file("d/x"),
        member(b'2', "d", outside.to_str().unwrap()),
        file("d/escaped"),
    ];
    add("a directory that becomes a link".into(), &swapped, false);
    let twice = [
        member(b'2', "l", &victim),
        member(b'1', "h", "l"),
        file("h"),
    ];
    add("a file over a hard link to a symlink".into(), &twice, false);
    add(
        "whiteouts that lead out".into(),
        &[file("../.wh.victim"), file(".wh...")],
        true,
    );
    add(
        "an opaque root".into(),
        &[file(".wh..wh..opq"), file(".wh.")],
        false,
    );
    let mut cut = tar(&[file("a"), file("b")]);
    cut.truncate(700);
    cases.push(("a member that is cut off".into(), cut, true));
    let mut damaged = tar(&[file("a")]);
    damaged[0] = b'b';
    cases.push(("a wrong checksum".into(), damaged, true));
    cases
}

/// Everything outside, with what would show that it was touched.
fn state(directory: &Path) -> BTreeMap<PathBuf, (u64, u64, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() {
            fs_err::read(&path).unwrap()
        } else {
            found.extend(state(&path));
            Vec::new()
        };
        let seen = (metadata.ino(), metadata.nlink(), metadata.mode(), content);
        found.insert(path, seen);
    }
    found
}

/// Devices and files that lend their owner's rights.
fn dangerous(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let lends = kind.is_file() && metadata.mode() & 0o6000 != 0;
        if kind.is_char_device() || kind.is_block_device() || lends {
            found.push(path.clone());
        }
        if kind.is_dir() {
            dangerous(&path, found);
        }
    }
}

#[test]
fn no_layer_writes_outside_of_its_directory_or_leaves_something_dangerous_in_it() {
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    fs_err::create_dir(&outside).unwrap();
    fs_err::write(outside.join("victim"), "unharmed").unwrap();
    let spool = tempfile::tempdir().unwrap();
    let before = state(&outside);
    let cases = cases(&outside);
    assert!(cases.len() >= 120, "{}", cases.len());
    for (name, bytes, refused) in cases {
        let root = place.path().join("root");
        fs_err::create_dir(&root).unwrap();
        let open = || Ok(Box::new(std::io::Cursor::new(bytes.clone())) as Box<dyn Read>);
        let budget = Arc::new(Budget::new(UnpackLimits {
            bytes: 1 << 20,
            ..UnpackLimits::default()
        }));
        let unpacked = flatten(&[&open], &LayerPath::root(), &budget, spool.path())
            .map_err(|error| error.to_string())
            .and_then(|tree| {
                let written = unpack(tree, &root, Owners::Own, &|| true);
                written.map_err(|error| error.to_string())
            });
        if refused {
            assert!(unpacked.is_err(), "{name} is not refused");
        }
        assert_eq!(state(&outside), before, "{name}: {unpacked:?}");
        let beside: Vec<_> = fs_err::read_dir(place.path()).unwrap().collect();
        assert_eq!(beside.len(), 2, "{name}: {beside:?}");
        let mut found = Vec::new();
        dangerous(&root, &mut found);
        assert_eq!(found, Vec::<PathBuf>::new(), "{name}");
        fs_err::remove_dir_all(&root).unwrap();
    }
}
