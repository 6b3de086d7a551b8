//! The directory that holds everything, and why its name has to be short.

use std::fmt;
use std::str::FromStr;

use ohoci_layer::LayerPath;

/// The absolute directory that every file of a layer is below.
///
/// Programs are edited in place: a path in them is replaced by one of the same length. The
/// tightest places are `/usr/share`, which becomes the prefix itself, `/usr/lib/ssl`, and the
/// interpreter of arm64 programs, `/lib/ld-linux-aarch64.so.1`. They leave room for
/// [`Prefix::LONGEST`] bytes: `/openhands` just fits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    text: String,
    path: LayerPath,
}

/// Why a string is no prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid prefix {text:?}: {reason}")]
pub struct PrefixError {
    text: String,
    reason: String,
}

impl Prefix {
    /// How many bytes a prefix may have, with the slash in front.
    pub const LONGEST: usize = "/usr/share".len();

    /// The absolute path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, as a path in a layer.
    #[must_use]
    pub fn path(&self) -> &LayerPath {
        &self.path
    }
}

impl Default for Prefix {
    /// `/openhands`.
    fn default() -> Self {
        let text = "/openhands".to_owned();
        let path = LayerPath::parse(text.as_bytes()).unwrap_or_default();
        Self { text, path }
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let fail = |reason: String| PrefixError {
            text: text.to_owned(),
            reason,
        };
        let path =
            LayerPath::parse(text.as_bytes()).map_err(|error| fail(format!("the {error}")))?;
        if path.is_root() || format!("/{}", String::from_utf8_lossy(path.as_bytes())) != text {
            return Err(fail(
                "it has to be an absolute directory such as /openhands, without a slash behind"
                    .to_owned(),
            ));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
        if !text.bytes().all(plain) {
            return Err(fail(
                "only letters, digits, `.`, `_`, `-` and `/` can stand in programs and scripts"
                    .to_owned(),
            ));
        }
        if text.len() > Self::LONGEST {
            return Err(fail(format!(
                "it has {} bytes, but paths are edited inside programs, where it replaces \
                 `/usr/share` and has room for {}",
                text.len(),
                Self::LONGEST
            )));
        }
        let first = path.names().next().unwrap_or_default();
        const OF_THE_BASE: [&[u8]; 15] = [
            b"bin", b"boot", b"dev", b"etc", b"home", b"lib", b"lib32", b"lib64", b"proc", b"root",
            b"run", b"sbin", b"sys", b"tmp", b"usr",
        ];
        if OF_THE_BASE.contains(&first) {
            return Err(fail("that directory belongs to the base".to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            path,
        })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_short_plain_and_not_the_bases() {
        for good in ["/openhands", "/oh", "/opt/oh", "/a.b-c_d"] {
            assert_eq!(good.parse::<Prefix>().unwrap().to_string(), good);
        }
        for bad in [
            "", "/", "oh", "/oh/", "//oh", "/a/../b", "/a b", "/usr/oh", "/é",
        ] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
        let long = "/opt/openhands".parse::<Prefix>().unwrap_err().to_string();
        assert!(long.contains("14 bytes") && long.contains("10"), "{long}");
        assert_eq!(Prefix::default(), "/openhands".parse().unwrap());
    }
}
