//! Paths in files of text that programs read.

use crate::place::Prefix;
use ohoci_layer::LayerPath;

/// Where Python looks for time zones, as its build wrote it down (`Lib/zoneinfo/_tzpath.py` reads
/// it from there).
const TIME_ZONES: &str = "'TZPATH': '";

/// Whether a file has paths that [`edit`] changes.
pub(super) fn is_known(path: &LayerPath) -> bool {
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next();
    name.is_some_and(|name| name.starts_with(b"_sysconfigdata_") && name.ends_with(b".py"))
}

/// The new text, and what was replaced; `None` when it has been edited before. The prefix's time
/// zones come first, so that they are the same on every base.
///
/// # Errors
/// What is missing, when the text is not what is known.
pub(super) fn edit(
    bytes: &[u8],
    prefix: &Prefix,
) -> Result<Option<(Vec<u8>, &'static str)>, &'static str> {
    const MISSING: &str = "it does not say where Python looks for time zones";
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8 text")?;
    let (before, after) = text.split_once(TIME_ZONES).ok_or(MISSING)?;
    let ours = format!("{prefix}/share/zoneinfo");
    if after.starts_with(&ours) {
        return Ok(None);
    }
    if !after.starts_with('/') {
        return Err(MISSING);
    }
    let new = format!("{before}{TIME_ZONES}{ours}:{after}");
    Ok(Some((new.into_bytes(), "TZPATH")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefixs_time_zones_come_first() {
        let prefix = Prefix::default();
        let text = b"x = {'A': 1,\n 'TZPATH': '/usr/share/zoneinfo:/etc/zoneinfo',\n}\n";
        let (new, _) = edit(text, &prefix).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(new.clone()).unwrap(),
            "x = {'A': 1,\n 'TZPATH': '/openhands/share/zoneinfo:/usr/share/zoneinfo:/etc/zoneinfo',\n}\n"
        );
        assert_eq!(edit(&new, &prefix).unwrap(), None);
        for bad in [b"x = {}".as_slice(), b"'TZPATH': ''", b"\xff"] {
            assert!(edit(bad, &prefix).is_err());
        }
        let known = |path: &str| is_known(&LayerPath::parse(path.as_bytes()).unwrap());
        assert!(known(
            "micromamba/lib/python3.13/_sysconfigdata__linux_x86_64-linux-gnu.py"
        ));
        assert!(!known("micromamba/lib/python3.13/sysconfig.py"));
    }
}
