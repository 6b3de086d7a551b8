//! The headers of a layer without its contents: what is in it, at what cost, and whether it keeps
//! to its place.

use std::io::Read;

use super::decompress::Decompressor;
use super::entry::Kind;
use super::path::LayerPath;
use super::tar_read::{Limits, Member, TarError, TarReader};
use super::tree::Rules;

/// Reads the headers of a layer as it is stored, in their order.
///
/// The whole layer is read, so that a digest taken of `layer` on the way covers all of it. `limit`
/// is how many bytes it may have when decompressed.
///
/// # Errors
/// See [`TarError`].
pub fn read_headers(layer: impl Read, limit: u64) -> Result<Vec<Member>, TarError> {
    let layer = Decompressor::new(layer, limit)?;
    let mut reader = TarReader::new(layer, Rules::Foreign, Limits::default());
    let mut members = Vec::new();
    while let Some(member) = reader.next_member()? {
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
    use crate::layer::entry::Entry;
    use crate::layer::tar_write::TarWriter;

    fn path(raw: &str) -> LayerPath {
        LayerPath::parse(raw.as_bytes()).unwrap()
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
        let members = read_headers(tar.as_slice(), u64::MAX).unwrap();
        assert_eq!(members.len(), 7);
        let prefixes = [path("opt/a"), path("openhands")];
        let found: Vec<_> = outside(&members, &prefixes)
            .map(|member| member.path.to_string())
            .collect();
        assert_eq!(found, ["/opt", "/opt/a/z", "/opt/ab"]);
    }
}
