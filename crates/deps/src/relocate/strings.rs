//! Compiled-in paths of Debian's libraries and programs, and what they become.
//!
//! The new path always has as many bytes as the old one: slashes behind the prefix fill up what
//! is missing. Compilers know the lengths of texts as numbers, and linkers let a text end inside
//! another one, so a shorter text could break what a longer one would not fit.

use crate::place::{Machine, Prefix};
use ohoci_layer::LayerPath;

/// Why a file with compiled-in paths cannot be edited.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this build is not known: {missing} is not in it, so what it looks for below the prefix \
     cannot be told"
)]
pub struct StringError {
    missing: String,
}

/// A compiled-in path and what stands for it below the prefix.
struct Row {
    from: String,
    to: &'static str,
}

fn rows(machine: Machine) -> [Row; 13] {
    let row = |from: &str, to| Row {
        from: from.to_owned(),
        to,
    };
    [
        row(&format!("/usr/lib/{}", machine.triplet()), "/lib"),
        row("/usr/lib/locale", "/lc"),
        row("/usr/lib/ssl", "/s"),
        row("/usr/lib/git-core", "/g-core"),
        row("/usr/lib/openssh", "/o-ssh"),
        row("/usr/bin/ssh", "/h"),
        row("/usr/share/zoneinfo", "/zoneinfo"),
        row("/usr/share/fontconfig", "/fontconfig"),
        row("/usr/share/git-core", "/git-core"),
        row("/usr/share/nodejs", "/nodejs"),
        row(
            "/etc/terminfo:/lib/terminfo:/usr/share/terminfo",
            "/terminfo:/etc/terminfo:/lib/terminfo",
        ),
        row("/etc/ssl/certs/ca-certificates.crt", "/s/cert.pem"),
        // Below the compiled-in `/usr`, unless it is absolute.
        row("share/git-core/templates", "/g-templates"),
    ]
}

/// Files that are useless on most bases unless these paths in them are rewritten, by the start of
/// their names.
const EXPECTED: [(&str, &str); 11] = [
    ("libc.so.6", "/usr/lib/locale"),
    ("libc.so.6", "/usr/share/zoneinfo"),
    ("libc.so.6", "/usr/lib/<triplet>"),
    (
        "libtinfo.so.6",
        "/etc/terminfo:/lib/terminfo:/usr/share/terminfo",
    ),
    ("libcrypto.so.3", "/usr/lib/ssl"),
    ("libcrypto.so.3", "/usr/lib/<triplet>"),
    ("libgnutls.so.30", "/etc/ssl/certs/ca-certificates.crt"),
    ("libcurl.so.4", "/etc/ssl/certs/ca-certificates.crt"),
    ("libcurl-gnutls.so.4", "/etc/ssl/certs/ca-certificates.crt"),
    ("libfontconfig.so.1", "/usr/share/fontconfig"),
    ("libnode.so", "/usr/share/nodejs"),
];

/// A program, and a directory of others that it starts, for which the prefix has too many bytes: it becomes the
/// directory that the program is started in, which is the wrapper's to choose.
const STARTED_BESIDE: (&str, &str, &str) = ("Xtigervnc", "/usr/bin", "././././");

/// The end of the names of linkers, which are left: they look below the root that they are given, and read words that
/// end inside of these paths, `gnu` for one.
const LINKER: &[u8] = b"-ld.bfd";

/// The prefix, as many more slashes as fill `room` bytes, and `rest`, which begins with one.
/// `None` when that is too much.
pub(super) fn padded(prefix: &Prefix, rest: &str, room: usize) -> Option<Vec<u8>> {
    let slashes = room.checked_sub(prefix.as_str().len() + rest.len())?;
    let padding = "/".repeat(slashes);
    Some(format!("{prefix}{padding}{rest}").into_bytes())
}

/// Rewrites the compiled-in paths of a program or library. Returns what was replaced and how
/// often.
///
/// A path counts only as a whole: not as a part of a longer name, nor below another directory.
///
/// # Errors
/// [`StringError`] when a file that is known to have a path does not have it.
pub(super) fn edit(
    bytes: &mut [u8],
    path: &LayerPath,
    machine: Machine,
    prefix: &Prefix,
) -> Result<Vec<(String, usize)>, StringError> {
    if path.name().ends_with(LINKER) {
        return Ok(Vec::new());
    }
    let rows = rows(machine);
    let mut counts = [0_usize; 13];
    // Every row begins with one of these, so three passes find all.
    let starts: Vec<usize> = [b"/usr/".as_slice(), b"/etc/", b"share/git-core/"]
        .iter()
        .flat_map(|start| memchr::memmem::find_iter(bytes, start))
        .collect();
    for at in starts {
        if at
            .checked_sub(1)
            .and_then(|before| bytes.get(before))
            .is_some_and(|b| is_name(*b))
        {
            continue;
        }
        for (row, count) in rows.iter().zip(&mut counts) {
            let end = at.saturating_add(row.from.len());
            let fits = bytes.get(at..end) == Some(row.from.as_bytes())
                && bytes.get(end).is_some_and(|b| *b == b'/' || !is_name(*b));
            let Some(new) = padded(prefix, row.to, row.from.len()).filter(|_| fits) else {
                continue;
            };
            if let Some(place) = bytes.get_mut(at..end) {
                place.copy_from_slice(&new);
                *count += 1;
            }
            break;
        }
    }
    let beside = started_beside(bytes, path)?;
    let triplet = format!("/usr/lib/{}", machine.triplet());
    for (name, expected) in EXPECTED {
        let expected = match expected {
            "/usr/lib/<triplet>" => triplet.as_str(),
            other => other,
        };
        let found = rows
            .iter()
            .zip(counts)
            .any(|(row, count)| row.from == expected && count > 0);
        if path.name().starts_with(name.as_bytes()) && !found {
            return Err(StringError {
                missing: expected.to_owned(),
            });
        }
    }
    Ok(rows
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|(row, count)| (row.from, count))
        .chain(beside)
        .collect())
}

/// Rewrites the directory of [`STARTED_BESIDE`] where it stands alone.
fn started_beside(
    bytes: &mut [u8],
    path: &LayerPath,
) -> Result<Option<(String, usize)>, StringError> {
    let (program, from, to) = STARTED_BESIDE;
    if path.name() != program.as_bytes() {
        return Ok(None);
    }
    let alone = [b"\0", from.as_bytes(), b"\0"].concat();
    let places: Vec<usize> = memchr::memmem::find_iter(bytes, &alone).collect();
    for at in &places {
        let start = at.saturating_add(1);
        if let Some(place) = bytes.get_mut(start..start.saturating_add(to.len())) {
            place.copy_from_slice(to.as_bytes());
        }
    }
    match places.len() {
        0 => Err(StringError {
            missing: from.to_owned(),
        }),
        count => Ok(Some((from.to_owned(), count))),
    }
}

/// Whether a byte can be part of a path.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+~%@".contains(&byte) || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, name: &str) -> Result<(String, usize), StringError> {
        let mut bytes = text.as_bytes().to_vec();
        let path = LayerPath::parse(name.as_bytes()).unwrap();
        let edits = edit(&mut bytes, &path, Machine::Amd64, &Prefix::default())?;
        assert_eq!(bytes.len(), text.len());
        let count = edits.iter().map(|(_, count)| count).sum();
        Ok((String::from_utf8(bytes).unwrap(), count))
    }

    #[test]
    fn a_server_of_screens_starts_what_lies_where_it_is_started() {
        let found = run("\0/usr/bin\0/usr/bin/X\0", "tools/bin/Xtigervnc");
        assert_eq!(found.unwrap(), ("\0././././\0/usr/bin/X\0".to_owned(), 1));
        let untouched = "\0/usr/bin\0";
        assert_eq!(run(untouched, "tools/bin/X").unwrap().0, untouched);
        assert!(run("\0/usr/sbin\0", "tools/bin/Xtigervnc").is_err());
    }

    #[test]
    fn whole_paths_become_paths_of_the_same_length() {
        for (from, to) in [
            ("\0/usr/lib/locale\0", "\0/openhands///lc\0"),
            (
                "\0/usr/lib/locale/locale-archive\0",
                "\0/openhands///lc/locale-archive\0",
            ),
            ("\0/usr/lib/ssl/certs\0", "\0/openhands/s/certs\0"),
            ("DIR: \"/usr/lib/ssl\"\0", "DIR: \"/openhands/s\"\0"),
            ("\0/usr/lib/git-core\0", "\0/openhands/g-core\0"),
            ("\0/usr/share/zoneinfo\0", "\0/openhands/zoneinfo\0"),
            (
                "/usr/lib/x86_64-linux-gnu/gconv\0",
                "/openhands///////////lib/gconv\0",
            ),
            (
                "/etc/terminfo:/lib/terminfo:/usr/share/terminfo\0",
                "/openhands/terminfo:/etc/terminfo:/lib/terminfo\0",
            ),
            (
                "/etc/ssl/certs/ca-certificates.crt\0",
                "/openhands/////////////s/cert.pem\0",
            ),
            ("/usr/bin/ssh\0", "/openhands/h\0"),
            ("\0share/git-core/templates\0", "\0/openhands/g-templates\0"),
        ] {
            let (found, count) = run(from, "lib/x").unwrap();
            let names = |text: &str| {
                let names = text.split('/').filter(|name| !name.is_empty());
                names.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(names(&found), names(to), "{from:?}");
            assert_eq!(count, 1);
        }
    }

    #[test]
    fn a_linker_is_left_as_it_is() {
        let text = "\0/usr/lib/x86_64-linux-gnu\0";
        let found = run(text, "tools/bin/x86_64-linux-gnu-ld.bfd").unwrap();
        assert_eq!(found, (text.to_owned(), 0));
    }

    #[test]
    fn parts_of_other_paths_stay() {
        for text in [
            "/opt/usr/lib/ssl\0",
            "/usr/lib/ssl3\0",
            "/usr/lib/locales\0",
            "/usr/bin/ssh-askpass\0",
            "/usr/bin/sshd\0",
            "/usr/lib/ssl",
            "/usr/lib/aarch64-linux-gnu\0",
            "/usr/share/locale\0",
            "/usr/local/share/git-core/templates\0",
        ] {
            assert_eq!(
                run(text, "lib/x").unwrap(),
                (text.to_owned(), 0),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_library_without_the_paths_it_is_known_for_is_refused() {
        let error = run("\0/usr/lib/ssl\0", "lib/libcrypto.so.3").unwrap_err();
        assert!(
            error.to_string().contains("/usr/lib/x86_64-linux-gnu"),
            "{error}"
        );
        assert!(run("\0", "lib/libtinfo.so.6.5").is_err());
        assert!(run("\0", "lib/libz.so.1").is_ok());
    }

    #[test]
    fn every_row_fits_the_longest_prefix() {
        let prefix: Prefix = "/123456789".parse().unwrap();
        for machine in [Machine::Amd64, Machine::Arm64] {
            for row in rows(machine) {
                let new = padded(&prefix, row.to, row.from.len());
                assert_eq!(
                    new.map(|new| new.len()),
                    Some(row.from.len()),
                    "{}",
                    row.from
                );
            }
        }
    }
}
