//! The headers of a layer without its contents: what is in it, at what cost, and whether it keeps
//! to its place.

use std::io::Read;
use std::sync::Arc;

use super::decompress::Decompressor;
use super::entry::Kind;
use super::limits::Budget;
use super::path::LayerPath;
use super::tar_read::{Limits, Member, TarError, TarReader};
use super::tree::Rules;

/// Reads the headers of a layer as it is stored, in their order.
///
/// The whole layer is read, so that a digest taken of `layer` on the way covers all of it. `budget`
/// is what the image that it belongs to may still come to.
///
/// # Errors
/// See [`TarError`].
pub fn read_headers(layer: impl Read, budget: &Arc<Budget>) -> Result<Vec<Member>, TarError> {
    read_headers_through(Decompressor::within(layer, budget)?, budget)
}

/// The same, of a layer that is decompressed already.
///
/// # Errors
/// See [`TarError`].
pub(crate) fn read_headers_through(
    layer: impl Read,
    budget: &Arc<Budget>,
) -> Result<Vec<Member>, TarError> {
    let mut reader = TarReader::new(layer, Rules::Foreign, Limits::of_budget());
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
        budget.take_entry(member.names())?;
        members.push(member);
    }
    Ok(members)
}

/// The members that do not keep to the prefixes: that stand elsewhere, or are hard links to
/// something elsewhere. Directories above a prefix count, since they override the base's.
pub fn outside<'a>(
    members: &'a [Member],
    prefixes: &'a [LayerPath],
) -> impl Iterator<Item = &'a Member> {
    let within = |path: &LayerPath| prefixes.iter().any(|prefix| path.is_within(prefix));
    members.iter().filter(move |member| {
        let linked = match &member.entry.kind {
            Kind::Hardlink(target) => within(target),
            _ => true,
        };
        !linked || !within(&member.path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use crate::tar_write::TarWriter;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn listing_a_layer_of_many_names_ends_with_the_limit() {
        use super::super::limits::UnpackLimits;
        let mut writer = TarWriter::new(Vec::new());
        for number in 0..100 {
            let entry = Entry::<u64>::new(Kind::File(0), 0o644);
            let at = path(&format!("file-{number:04}"));
            writer.append(&at, &entry, &mut std::io::empty()).unwrap();
        }
        let tar = writer.finish().unwrap();
        let read = |entries, names| {
            let limits = UnpackLimits {
                entries,
                names,
                ..UnpackLimits::default()
            };
            read_headers(tar.as_slice(), &Arc::new(Budget::new(limits)))
        };
        assert_eq!(read(100, 900).unwrap().len(), 100);
        let error = read(99, 900).unwrap_err().to_string();
        assert!(error.contains("OHOCI_MAX_ENTRIES"), "{error}");
        let error = read(100, 899).unwrap_err().to_string();
        assert!(error.contains("OHOCI_MAX_NAME_BYTES"), "{error}");
    }

    #[test]
    fn members_outside_of_the_prefixes_are_found() {
        let file = || Entry::<u64>::new(Kind::File(0), 0o644);
        let link = |to: &str| Entry::new(Kind::Hardlink(path(to)), 0o644);
        let mut writer = TarWriter::new(Vec::new());
        for (at, entry) in [
            ("opt", Entry::new(Kind::Directory, 0o755)),
            ("opt/a", Entry::new(Kind::Directory, 0o755)),
            ("opt/a/x", file()),
            ("opt/a/y", link("opt/a/x")),
            ("opt/a/z", link("etc/passwd")),
            ("opt/ab", file()),
            ("openhands", file()),
        ] {
            writer
                .append(&path(at), &entry, &mut std::io::empty())
                .unwrap();
        }
        let tar = writer.finish().unwrap();
        let members = read_headers(tar.as_slice(), &Arc::new(Budget::unlimited())).unwrap();
        assert_eq!(members.len(), 7);
        let prefixes = [path("opt/a"), path("openhands")];
        let found: Vec<_> = outside(&members, &prefixes)
            .map(|member| member.path.to_string())
            .collect();
        assert_eq!(found, ["/opt", "/opt/a/z", "/opt/ab"]);
    }
}
