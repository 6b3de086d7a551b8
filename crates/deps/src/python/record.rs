//! `RECORD` files: every file of an installation with its hash and size (PEP 376, PEP 627).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::digest::DynDigest;

/// What a line says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    /// The hash.
    pub(super) hash: Option<Hash>,
    /// The size in bytes.
    pub(super) size: Option<u64>,
}

/// A hash of one of the kinds that wheels may use: none weaker than SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hash {
    algorithm: HashAlgorithm,
    value: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HashAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// What computes hashes of this kind.
    pub(super) fn hasher(&self) -> Box<dyn DynDigest + Send> {
        match self.algorithm {
            HashAlgorithm::Sha256 => Box::new(sha2::Sha256::default()),
            HashAlgorithm::Sha384 => Box::new(sha2::Sha384::default()),
            HashAlgorithm::Sha512 => Box::new(sha2::Sha512::default()),
        }
    }

    /// Whether content with the hash `value` is what is meant.
    pub(super) fn is(&self, value: &[u8]) -> bool {
        self.value == value
    }

    /// Reads `sha256=…`, in base64 for URLs without padding.
    fn parse(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is no hash"))?;
        let algorithm = match name {
            "sha256" => HashAlgorithm::Sha256,
            "sha384" => HashAlgorithm::Sha384,
            "sha512" => HashAlgorithm::Sha512,
            _ => return Err(format!("hashes of kind {name:?} prove nothing")),
        };
        let value = URL_SAFE_NO_PAD
            .decode(value.trim_end_matches('='))
            .map_err(|_| format!("{text:?} is no hash"))?;
        Ok(Self { algorithm, value })
    }
}

/// Reads a RECORD: what is recorded by path.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Recorded>, String> {
    let mut files = BTreeMap::new();
    for fields in rows(text)? {
        let [path, hash, size] = fields.as_slice() else {
            return Err(format!(
                "a line has {} fields in the place of 3",
                fields.len()
            ));
        };
        let recorded = Recorded {
            hash: match hash.as_str() {
                "" => None,
                hash => Some(Hash::parse(hash).map_err(|why| format!("{path}: {why}"))?),
            },
            size: match size.as_str() {
                "" => None,
                size => Some(
                    size.parse()
                        .map_err(|_| format!("{path}: {size:?} is no size"))?,
                ),
            },
        };
        if let Some(known) = files.insert(path.clone(), recorded.clone())
            && known != recorded
        {
            return Err(format!("{path} is there twice, and differs"));
        }
    }
    Ok(files)
}

/// One line of a RECORD to be written.
pub(super) fn push_line(text: &mut String, path: &str, sha256: Option<&[u8]>, size: Option<u64>) {
    if path.contains(['"', ',', '\n', '\r']) {
        let _ = write!(text, "\"{}\",", path.replace('"', "\"\""));
    } else {
        let _ = write!(text, "{path},");
    }
    if let Some(hash) = sha256 {
        let _ = write!(text, "sha256={}", URL_SAFE_NO_PAD.encode(hash));
    }
    text.push(',');
    if let Some(size) = size {
        let _ = write!(text, "{size}");
    }
    text.push('\n');
}

/// Rows of comma-separated values (RFC 4180), without the empty ones.
fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if field.is_empty() => loop {
                match characters.next() {
                    Some('"') if characters.peek() == Some(&'"') => {
                        characters.next();
                        field.push('"');
                    }
                    Some('"') => {
                        if !matches!(characters.peek(), None | Some(',' | '\n' | '\r')) {
                            return Err("something stands behind a quoted field".to_owned());
                        }
                        break;
                    }
                    Some(character) => field.push(character),
                    None => return Err("a quoted field does not end".to_owned()),
                }
            },
            ',' => row.push(std::mem::take(&mut field)),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            character => field.push(character),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows.retain(|row| row.iter().any(|field| !field.is_empty()));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_csv() {
        let empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let text = format!("a.py,{empty},0\r\n\"b,\"\"c.py\",{empty},\nx/RECORD,,\n\n");
        let files = parse(&text).unwrap();
        assert_eq!(
            files.keys().map(String::as_str).collect::<Vec<_>>(),
            ["a.py", "b,\"c.py", "x/RECORD"]
        );
        let hash = files["a.py"].hash.clone().unwrap();
        assert!(hash.is(&hash.hasher().finalize()));
        assert_eq!(files["a.py"].size, Some(0));
        assert_eq!(files["x/RECORD"].hash, None);
    }

    #[test]
    fn lines_that_prove_nothing_or_contradict_each_other_are_refused() {
        for (text, why) in [
            ("a,md5=x,1", "prove nothing"),
            ("a,sha1=x,1", "prove nothing"),
            ("a,sha256,1", "no hash"),
            ("a,sha256=!!,1", "no hash"),
            ("a,,x", "no size"),
            ("a,", "2 fields"),
            ("a,,,", "4 fields"),
            ("a,,1\na,,2", "twice"),
            ("\"a,,1", "does not end"),
            ("\"a\"b,,1", "behind a quoted"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut text = String::new();
        push_line(&mut text, "a \"b\",c", Some(&[1, 2]), Some(7));
        push_line(&mut text, "RECORD", None, None);
        let files = parse(&text).unwrap();
        assert!(files["a \"b\",c"].hash.as_ref().unwrap().is(&[1, 2]));
        assert_eq!(text.lines().last(), Some("RECORD,,"));
    }
}
