//! Directories that a program or library itself wants searched: `DT_RPATH`, `DT_RUNPATH`.

use super::elf::{Elf, ElfError};
use super::loader_code::Occurrence;
use super::strings::padded;
use crate::place::{Destination, Machine, Prefix, destination};
use ohoci_layer::LayerPath;
use ohoci_layer::path::printable;

/// Why a search path cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it searches {directory} for libraries, which is the base's; nothing below the prefix that \
     stands for it fits in its place"
)]
pub(super) struct SearchPathError {
    directory: String,
}

/// What has to change for the search path to stay inside the prefix, with the old directories.
///
/// A directory of Debian's becomes the one below the prefix; any other, the file's own directory.
/// What is relative to the file is right already.
pub(super) fn find(
    elf: &Elf<'_>,
    machine: Machine,
    prefix: &Prefix,
) -> Result<Result<Vec<(String, Occurrence)>, SearchPathError>, ElfError> {
    let Some(dynamic) = elf.dynamic()? else {
        return Ok(Ok(Vec::new()));
    };
    let mut places = Vec::new();
    for text in [dynamic.rpath, dynamic.runpath].into_iter().flatten() {
        let mut offset = text.offset;
        for directory in text.bytes.split(|byte| *byte == b':') {
            if directory.starts_with(b"/") && !is_within(directory, prefix) {
                let Some(bytes) = replacement(directory, machine, prefix) else {
                    return Ok(Err(SearchPathError {
                        directory: printable(directory),
                    }));
                };
                places.push((printable(directory), Occurrence { offset, bytes }));
            }
            offset += directory.len() + 1;
        }
    }
    Ok(Ok(places))
}

fn is_within(directory: &[u8], prefix: &Prefix) -> bool {
    LayerPath::parse(directory).is_ok_and(|path| path.is_within(prefix.path()))
}

fn replacement(directory: &[u8], machine: Machine, prefix: &Prefix) -> Option<Vec<u8>> {
    const ORIGIN: &[u8] = b"$ORIGIN";
    let placed = LayerPath::parse(directory)
        .ok()
        .map(|path| destination(&path, machine));
    if let Some(Destination::At(path)) = placed
        && let Ok(below) = std::str::from_utf8(path.as_bytes())
        && let Some(bytes) = padded(prefix, &format!("/{below}"), directory.len())
    {
        return Some(bytes);
    }
    let slashes = directory.len().checked_sub(ORIGIN.len())?;
    Some([ORIGIN, &b"/".repeat(slashes)].concat())
}

#[cfg(test)]
mod tests {
    use super::super::testing::ElfBuilder;
    use super::*;

    fn run(builder: &ElfBuilder) -> Result<String, SearchPathError> {
        let mut bytes = builder.build();
        let elf = Elf::parse(&bytes).unwrap();
        let places = find(&elf, Machine::Amd64, &Prefix::default()).unwrap()?;
        for (_, place) in places {
            bytes[place.offset..place.offset + place.bytes.len()].copy_from_slice(&place.bytes);
        }
        let elf = Elf::parse(&bytes).unwrap();
        let dynamic = elf.dynamic().unwrap().unwrap();
        Ok(dynamic.rpath.or(dynamic.runpath).unwrap().show())
    }

    #[test]
    fn directories_of_the_base_become_the_prefixs_or_the_files_own() {
        for (from, to) in [
            (
                "/usr/lib/x86_64-linux-gnu/pulseaudio",
                "/openhands///////////lib/pulseaudio",
            ),
            ("$ORIGIN/../lib", "$ORIGIN/../lib"),
            ("/openhands/lib", "/openhands/lib"),
            ("/opt/conda/lib:$ORIGIN", "$ORIGIN///////:$ORIGIN"),
            ("$ORIGIN:/usr/local/lib", "$ORIGIN:$ORIGIN///////"),
        ] {
            let found = run(&ElfBuilder::amd64().runpath(from)).unwrap();
            assert_eq!(found, run(&ElfBuilder::amd64().rpath(from)).unwrap());
            assert_eq!(found.len(), from.len());
            let names = |text: &str| {
                let names = text.split('/').filter(|name| !name.is_empty());
                names.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(names(&found), names(to));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = run(&ElfBuilder::amd64().runpath("/lib")).unwrap_err();
        assert!(error.to_string().contains("/lib"), "{error}");
    }
}
