//! Layers written anew, with what is in them at other places.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::decompress::Decompressor;
use super::entry::{Entry, Kind};
use super::estargz;
use super::layer_writer::LayerWriter;
use super::limits::Budget;
use super::pack::{self, PackError, PackOptions};
use super::packed::PackedLayer;
use super::path::LayerPath;
use super::tar_read::{Limits, Member, TarError, TarReader};
use super::tar_write::Append as _;
use super::tree::{Rules, Tree};
use super::whiteout::Whiteout;

/// Where an entry goes, by its path and whether it is a directory; `None` leaves a directory out.
/// Fails, for a person, with why it can go nowhere.
pub type NewPath<'a> = dyn Fn(&LayerPath, bool) -> Result<Option<LayerPath>, String> + 'a;

/// Writes a layer anew into `out_dir`, with each entry where `place` says, in its own order and with its own
/// owners and dates. Directories that land on one another become one, the first.
///
/// # Errors
/// When the layer is damaged, when two entries land on one another of which one is no directory, when
/// what it removes would be something else, and when reading or writing fails.
pub fn moved(
    input: impl Read,
    place: &NewPath<'_>,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, PackError> {
    let written = written(input, place, options, out_dir);
    written.map_err(|error| match error {
        TarError::Io(error) => pack::io_error("the layer".to_owned(), error),
        other => PackError::new("the layer", other.to_string()),
    })
}

fn written(
    input: impl Read,
    place: &NewPath<'_>,
    options: &PackOptions,
    out_dir: &Path,
) -> Result<PackedLayer, TarError> {
    let budget = Arc::new(Budget::new(options.limits));
    let input = Decompressor::within(input, &budget)?;
    let mut reader = TarReader::new(input, Rules::Strict, Limits::of_budget());
    let mut writer = LayerWriter::create(options, out_dir)?;
    let mut seen: Tree<()> = Tree::new();
    while let Some(mut member) = reader.next_member()? {
        budget.take_entry(member.names())?;
        let Some(path) = new_path(&member, place)? else {
            continue;
        };
        // It says where things are in the layer as it was.
        if path.as_bytes() == estargz::TABLE.as_bytes() {
            continue;
        }
        let is_directory = member.entry.is_directory();
        if is_directory && seen.get(&path).is_some_and(Entry::is_directory) {
            continue;
        }
        let kind = match &member.entry.kind {
            Kind::Directory => Kind::Directory,
            Kind::Symlink(_) => Kind::Symlink(Vec::new()),
            _ => Kind::File(()),
        };
        seen.insert(path.clone(), Entry::new(kind, 0), Rules::Strict)
            .map_err(|error| member.refused(error.to_string()))?;
        if let Kind::Hardlink(target) = &member.entry.kind {
            let target = place(target, false).map_err(|why| member.refused(why))?;
            let lost = || member.refused("it is a hard link to nothing");
            member.entry.kind = Kind::Hardlink(target.ok_or_else(lost)?);
        }
        writer.append(&path, &member.entry, &mut reader)?;
    }
    Ok(PackedLayer {
        directories: pack::directories(&seen),
        ..writer.finish()?
    })
}

fn new_path(member: &Member, place: &NewPath<'_>) -> Result<Option<LayerPath>, TarError> {
    let path = &member.path;
    let placed = place(path, member.entry.is_directory());
    let placed = placed.map_err(|why| member.refused(why))?;
    match &member.whiteout {
        Some(Whiteout::Below(emptied)) if placed.as_ref() != Some(path) => Err(member.refused(
            format!("it empties {emptied}, which the base has elsewhere"),
        )),
        _ => Ok(placed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::pack_tree;
    use crate::{Content, tar_read};

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text.as_bytes()).unwrap()
    }

    fn file(text: &str) -> Entry {
        let content = Content::Memory(text.as_bytes().to_vec().into());
        Entry {
            mtime: 7,
            uid: 5,
            ..Entry::new(Kind::File(content), 0o755)
        }
    }

    /// What is below `bin` goes below `usr/bin`.
    fn merged(at: &LayerPath, _is_directory: bool) -> Result<Option<LayerPath>, String> {
        let text = at.to_string();
        Ok(match text.strip_prefix("/bin") {
            Some("") => None,
            Some(below) => Some(path(&format!("usr/bin{below}"))),
            None => Some(at.clone()),
        })
    }

    /// Packs a tree and writes it anew.
    fn anew(entries: &[(&str, Entry)]) -> Result<Vec<tar_read::Member>, String> {
        let mut tree = Tree::new();
        for (at, entry) in entries {
            tree.insert(path(at), entry.clone(), Rules::Strict).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let options = PackOptions::default();
        let packed = pack_tree(tree, String::new(), &options, dir.path()).unwrap();
        let input = fs_err::File::open(packed.file.path()).unwrap();
        let moved =
            moved(input, &merged, &options, dir.path()).map_err(|error| error.to_string())?;
        let input = fs_err::File::open(moved.file.path()).unwrap();
        let input = Decompressor::new(input, u64::MAX).unwrap();
        let mut reader = TarReader::new(input, Rules::Strict, Limits::default());
        let mut members = Vec::new();
        while let Some(member) = reader.next_member().unwrap() {
            members.push(member);
        }
        assert_eq!(moved.entries, members.len() as u64);
        Ok(members)
    }

    #[test]
    fn entries_go_where_they_are_put_with_all_that_they_are() {
        let members = anew(&[
            ("bin", Entry::new(Kind::Directory, 0o700)),
            ("bin/sub", Entry::new(Kind::Directory, 0o755)),
            ("bin/tool", file("x")),
            (
                "etc/same",
                Entry {
                    kind: Kind::Hardlink(path("bin/tool")),
                    ..file("x")
                },
            ),
            ("usr/bin/sub", Entry::new(Kind::Directory, 0o700)),
            ("usr/bin/sub/other", file("y")),
        ])
        .unwrap();
        let paths: Vec<String> = members.iter().map(|one| one.path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "/usr/bin/sub",
                "/usr/bin/tool",
                "/etc/same",
                "/usr/bin/sub/other"
            ]
        );
        assert_eq!(members[1].entry.mtime, 7);
        assert_eq!(members[1].entry.uid, 5);
        assert_eq!(members[2].entry.kind, Kind::Hardlink(path("usr/bin/tool")));
    }

    #[test]
    fn what_would_land_on_something_else_is_refused() {
        let refused = anew(&[("bin/tool", file("x")), ("usr/bin/tool", file("y"))]);
        let why = refused.unwrap_err();
        assert!(why.contains("usr/bin/tool"), "{why}");
    }
}
