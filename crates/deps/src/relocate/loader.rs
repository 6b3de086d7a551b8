//! Edits glibc's loader, so that nothing of the base and of the environment leads it astray.
//!
//! Made for the loaders of glibc 2.41 as Debian builds them. Another one may well have the same
//! places; then it is edited the same way. If any place is there more or less often than known,
//! it is refused: a loader that is edited by half would mix the base's libraries in.

use super::elf::Elf;
use super::loader_code::comparisons;
use super::strings::padded;
use crate::place::{Machine, Prefix};
use ohoci_layer::path::printable;

/// Why a loader cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this loader ({}) is not known: {what} is there {found} times instead of {expected}; \
     take the C library from the suite that the recipe was made for",
    .build.describe()
)]
pub struct LoaderError {
    what: String,
    found: usize,
    expected: usize,
    build: Build,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Build {
    version: Option<String>,
    id: Option<String>,
}

impl Build {
    fn of(bytes: &[u8]) -> Self {
        // `ld.so (Debian GLIBC 2.41-12) stable release version 2.41.`, as `ld.so --version` says.
        const BEFORE: &[u8] = b"ld.so (";
        let version = memchr::memmem::find(bytes, BEFORE).map(|at| {
            let text = bytes.get(at + BEFORE.len()..).unwrap_or_default();
            let end = text.iter().take(80).position(|byte| *byte == b')');
            printable(text.get(..end.unwrap_or(0)).unwrap_or_default())
        });
        let id = Elf::parse(bytes).ok().and_then(|elf| elf.build_id());
        Self { version, id }
    }

    fn describe(&self) -> String {
        format!(
            "{}, build ID {}",
            self.version.as_deref().unwrap_or("unknown version"),
            self.id.as_deref().unwrap_or("unknown")
        )
    }
}

/// The name behind `LD_` of a variable that is ignored, how much of it one instruction compares,
/// and at how many places: for all programs, and again for setuid ones.
const IGNORED: [(&str, &[u8], usize); 3] = [
    ("LD_LIBRARY_PATH", b"LIBRARY_", 1),
    ("LD_PRELOAD", b"PREL", 2),
    ("LD_AUDIT", b"AUDI", 2),
];

/// Edits the loader. Returns what was replaced and how often.
///
/// * The directories that are searched by default become `lib` below the prefix; glibc knows four,
///   the other two become `/.oh/`, which is nowhere.
/// * `/etc/ld.so.cache` and `/etc/ld.so.preload` become paths below the prefix where nothing is.
/// * `LD_LIBRARY_PATH`, `LD_PRELOAD` and `LD_AUDIT` are compared in lower case, so nothing that
///   anyone sets is found. They stay in the environment for programs of the base. `LD_DEBUG` and
///   `LD_TRACE_LOADED_OBJECTS` keep working, so that `ldd` on a program does not run it.
///
/// # Errors
/// [`LoaderError`] when any of these places is there more or less often than expected.
pub(super) fn edit(
    bytes: &mut [u8],
    machine: Machine,
    prefix: &Prefix,
) -> Result<Vec<(String, usize)>, LoaderError> {
    let mut edits = Vec::new();
    let mut places = Vec::new();
    let fail = |what: &str, found, expected| LoaderError {
        what: what.to_owned(),
        found,
        expected,
        build: Build::of(bytes),
    };
    for Replacement { what, from, to } in replacements(machine, prefix) {
        let expected = if what == DIRECTORIES { 2 } else { 1 };
        let found: Vec<usize> = memchr::memmem::find_iter(bytes, &from).collect();
        if found.len() != expected {
            return Err(fail(what, found.len(), expected));
        }
        places.extend(found.into_iter().map(|at| (at, to.clone())));
        edits.push((what.to_owned(), expected));
    }
    for (variable, name, expected) in IGNORED {
        let found = comparisons(bytes, name, machine);
        if found.len() != expected {
            return Err(fail(
                &format!("the comparison with {variable}"),
                found.len(),
                expected,
            ));
        }
        places.extend(found.into_iter().map(|place| (place.offset, place.bytes)));
        edits.push((variable.to_owned(), expected));
    }
    for (offset, new) in places {
        overwrite(bytes, offset, &new);
    }
    Ok(edits)
}

/// Edits a static program that has a loader in it for name services and character sets (busybox).
/// Returns what was replaced and how often; nothing when there is no loader in it.
pub(super) fn edit_static(
    bytes: &mut [u8],
    machine: Machine,
    prefix: &Prefix,
) -> Vec<(String, usize)> {
    let mut edits = Vec::new();
    let library_path = Replacement {
        what: "LD_LIBRARY_PATH",
        from: b"\0LD_LIBRARY_PATH\0".to_vec(),
        to: b"\0LD_library_PATH\0".to_vec(),
    };
    for Replacement { what, from, to } in replacements(machine, prefix).chain([library_path]) {
        let found: Vec<usize> = memchr::memmem::find_iter(bytes, &from).collect();
        if found.is_empty() {
            if what == DIRECTORIES {
                return edits;
            }
            continue;
        }
        for at in &found {
            overwrite(bytes, *at, &to);
        }
        edits.push((what.to_owned(), found.len()));
    }
    edits
}

const DIRECTORIES: &str = "default library directories";

struct Replacement {
    what: &'static str,
    from: Vec<u8>,
    to: Vec<u8>,
}

/// Texts in the loader and what they become, always with the same length: glibc knows the
/// lengths as numbers.
fn replacements(machine: Machine, prefix: &Prefix) -> impl Iterator<Item = Replacement> {
    let own = |room: usize| padded(prefix, "/lib/", room).unwrap_or_default();
    let names = [
        format!("/lib/{}/", machine.triplet()),
        format!("/usr/lib/{}/", machine.triplet()),
    ];
    let mut from = Vec::new();
    let mut to = Vec::new();
    for name in &names {
        from.extend([name.as_bytes(), b"\0"].concat());
        to.extend([own(name.len()).as_slice(), b"\0"].concat());
    }
    from.extend(b"/lib/\0/usr/lib/\0");
    to.extend(b"/.oh/\0/.oh/lib/\0");
    let nothing = |what: &'static str| Replacement {
        what,
        from: [what.as_bytes(), b"\0"].concat(),
        // A path that ends with a slash is never a file.
        to: [
            padded(prefix, "/no/", what.len())
                .unwrap_or_default()
                .as_slice(),
            b"\0",
        ]
        .concat(),
    };
    [
        Replacement {
            what: DIRECTORIES,
            from,
            to,
        },
        nothing("/etc/ld.so.cache"),
        nothing("/etc/ld.so.preload"),
    ]
    .into_iter()
    .filter(|replacement| replacement.from.len() == replacement.to.len())
}

fn overwrite(bytes: &mut [u8], offset: usize, new: &[u8]) {
    let place = offset
        .checked_add(new.len())
        .and_then(|end| bytes.get_mut(offset..end));
    if let Some(place) = place {
        place.copy_from_slice(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(bytes: &[u8], text: &str) -> bool {
        memchr::memmem::find(bytes, text.as_bytes()).is_some()
    }

    /// What the loaders of Debian's glibc 2.41 have, without the rest.
    fn loader(machine: Machine) -> Vec<u8> {
        let triplet = machine.triplet();
        let directories = format!("\0/lib/{triplet}/\0/usr/lib/{triplet}/\0/lib/\0/usr/lib/\0");
        let mut bytes = b"\x7fELF".to_vec();
        bytes.resize(64, 0);
        match machine {
            Machine::Amd64 => {
                bytes.extend(b"\x48\xb8LIBRARY_\x48\x39\x01\x81\x39PREL\x0f\x84");
                bytes.extend(b"\x81\x38PREL\x75\xab\x81\x39AUDI\x0f\x81\x38AUDI\x0f");
            }
            Machine::Arm64 => {
                for word in [
                    0x528a_4a02u32,
                    0x72a9_88a2,
                    0x528a_4a13,
                    0x9103_c3b7,
                    0x72a9_88b3,
                    0x528a_a822,
                    0x72a9_2882,
                    0x528a_a834,
                    0x9103_c3b7,
                    0x72a9_2894,
                ] {
                    bytes.extend(word.to_le_bytes());
                }
                bytes.extend(b"LIBRARY_DEBUG_OU");
            }
        }
        bytes.extend(directories.repeat(2).bytes());
        bytes.extend(b"/etc/ld.so.cache\0/etc/ld.so.preload\0LD_LIBRARY_PATH\0");
        bytes.extend(b"  Do not use /etc/ld.so.cache\n\0");
        bytes.extend(b"ld.so (Debian GLIBC 2.41-12) stable release version 2.41.\n\0");
        bytes
    }

    #[test]
    fn both_loaders_stop_looking_at_the_base() {
        for machine in [Machine::Amd64, Machine::Arm64] {
            let mut bytes = loader(machine);
            let before = bytes.len();
            let edits = edit(&mut bytes, machine, &Prefix::default()).unwrap();
            assert_eq!(edits.iter().map(|(_, count)| count).sum::<usize>(), 9);
            assert_eq!(bytes.len(), before);
            assert!(!mentions(&bytes, "/usr/lib"));
            assert!(!mentions(&bytes, "/etc/ld.so.cache\0"));
            assert!(!mentions(&bytes, "/etc/ld.so.preload"));
            assert!(mentions(&bytes, "\0/openhands/"));
            assert!(mentions(&bytes, "\0/.oh/\0/.oh/lib/\0"));
            assert!(
                edit(&mut bytes, machine, &Prefix::default()).is_err(),
                "twice"
            );
        }
    }

    #[test]
    fn an_unknown_loader_is_refused_untouched() {
        let known = loader(Machine::Amd64);
        for from in [
            "/etc/ld.so.preload\0",
            "\x39PREL",
            "LIBRARY_\x48",
            "/usr/lib/x86",
        ] {
            let mut bytes = known.clone();
            let at = memchr::memmem::find(&bytes, from.as_bytes()).unwrap();
            bytes[at + 2] ^= 0x20;
            let changed = bytes.clone();
            let error = edit(&mut bytes, Machine::Amd64, &Prefix::default()).unwrap_err();
            assert!(
                error.to_string().contains("Debian GLIBC 2.41-12"),
                "{error}"
            );
            assert_eq!(bytes, changed);
        }
        assert!(edit(&mut { known }, Machine::Arm64, &Prefix::default()).is_err());
    }

    #[test]
    fn a_static_program_loses_its_ways_to_the_base() {
        let mut bytes = loader(Machine::Amd64);
        let edits = edit_static(&mut bytes, Machine::Amd64, &Prefix::default());
        assert_eq!(edits.len(), 4);
        assert!(mentions(&bytes, "\0LD_library_PATH\0"));
        let mut other = b"\0LD_LIBRARY_PATH\0".to_vec();
        assert!(edit_static(&mut other, Machine::Amd64, &Prefix::default()).is_empty());
    }
}
