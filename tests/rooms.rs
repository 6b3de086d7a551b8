//! The rooms of `src/` use each other as `docs/architecture.md` says: each only what stands above
//! it in the table there.

use std::collections::BTreeSet;
use std::path::Path;

/// The rooms in the order of the table.
fn rooms(root: &Path) -> Vec<String> {
    let page = fs_err::read_to_string(root.join("docs/architecture.md")).unwrap();
    let table = page.split("\n## ").find(|part| part.starts_with("Rooms\n"));
    table
        .expect("a section about the rooms")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

fn sources(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs_err::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs_err::read_to_string(&path).unwrap();
            found.push((path.display().to_string(), text));
        }
    }
}

/// The rooms that a text names behind `crate::`, alone or in braces.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |text: &str| {
        text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(text.len())
    };
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        // `$crate` and a name that only ends so are something else.
        if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(inside) = rest.strip_prefix('{') else {
            names.insert(&rest[..word(rest)]);
            continue;
        };
        let mut depth = 0;
        let mut expects_name = true;
        for (at, c) in inside.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expects_name = true,
                c if c.is_ascii_alphabetic() && expects_name => {
                    names.insert(&inside[at..at + word(&inside[at..])]);
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    names
}

#[test]
fn every_room_uses_only_what_stands_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = rooms(root);
    let mut wrong = Vec::new();
    for (at, room) in rooms.iter().enumerate() {
        let mut files = Vec::new();
        sources(&root.join("src").join(room), &mut files);
        for (path, text) in &files {
            let used = named(text);
            let below = rooms[at + 1..]
                .iter()
                .filter(|room| used.contains(room.as_str()));
            wrong.extend(below.map(|other| format!("{path} uses {other}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_stands_in_the_architecture_and_in_the_library_in_the_same_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rooms = rooms(root);
    let directories: BTreeSet<String> = fs_err::read_dir(root.join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(directories, rooms.iter().cloned().collect());
    let library = fs_err::read_to_string(root.join("src/lib.rs")).unwrap();
    let listed: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("//! * [`")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(listed, rooms);
}

#[test]
fn rooms_are_found_however_they_are_named() {
    let text =
        "use crate::{cli, oci::{Digest, config}};\nlet x = crate::store::Error; $crate::layer!()";
    assert_eq!(named(text), BTreeSet::from(["cli", "oci", "store"]));
}
