//! Versions of Debian packages and their order (deb-version(7), Debian Policy 5.6.12).

use std::cmp::Ordering;
use std::fmt;

/// A version: `[epoch:]upstream[-revision]`.
///
/// Equality is that of the order: `1.0` and `1.0-0` are equal, as they are for dpkg.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    text: &'a str,
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
}

/// Why a string is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no version of a Debian package: {reason}")]
pub struct VersionError {
    text: String,
    reason: &'static str,
}

impl<'a> Version<'a> {
    /// Reads a version.
    ///
    /// # Errors
    /// An epoch that is no number, an empty part, a character that no version has, or more than
    /// 256 bytes.
    pub fn parse(text: &'a str) -> Result<Self, VersionError> {
        let fail = |reason| VersionError {
            text: text.chars().take(80).collect(),
            reason,
        };
        if text.len() > 256 {
            return Err(fail("it is too long"));
        }
        let (epoch, rest) = match text.split_once(':') {
            None => (0, text),
            Some((epoch, rest)) => {
                if !epoch.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(fail("the epoch is no number"));
                }
                // dpkg keeps epochs in an int.
                match epoch.parse::<u32>() {
                    Ok(epoch) if epoch <= i32::MAX.unsigned_abs() => (epoch, rest),
                    _ => return Err(fail("the epoch is no number in range")),
                }
            }
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            None => (rest, ""),
            Some((_, "")) => return Err(fail("there is nothing behind the last dash")),
            Some(parts) => parts,
        };
        if upstream.is_empty() {
            return Err(fail("there is no upstream version"));
        }
        if !upstream.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(fail("it does not begin with a digit"));
        }
        let common = |byte: u8| byte.is_ascii_alphanumeric() || b".+~".contains(&byte);
        if !upstream
            .bytes()
            .all(|byte| common(byte) || b"-:".contains(&byte))
            || !revision.bytes().all(common)
        {
            return Err(fail("it has a character that no version has"));
        }
        Ok(Self {
            text,
            epoch,
            upstream,
            revision,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare(self.upstream, other.upstream))
            .then_with(|| compare(self.revision, other.revision))
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Compares runs of other characters and runs of digits in turn.
fn compare(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_word, right_word);
        (left_word, left) = split_where(left, |byte| byte.is_ascii_digit());
        (right_word, right) = split_where(right, |byte| byte.is_ascii_digit());
        let words = compare_words(left_word, right_word);
        if words != Ordering::Equal {
            return words;
        }
        let (left_number, right_number);
        (left_number, left) = split_where(left, |byte| !byte.is_ascii_digit());
        (right_number, right) = split_where(right, |byte| !byte.is_ascii_digit());
        let left_number = left_number.trim_start_matches('0');
        let right_number = right_number.trim_start_matches('0');
        let numbers = (left_number.len(), left_number).cmp(&(right_number.len(), right_number));
        if numbers != Ordering::Equal {
            return numbers;
        }
    }
    Ordering::Equal
}

fn split_where(text: &str, end: impl Fn(&u8) -> bool) -> (&str, &str) {
    let at = text.bytes().position(|byte| end(&byte));
    text.split_at_checked(at.unwrap_or(text.len()))
        .unwrap_or((text, ""))
}

/// Letters before everything else, `~` before even the end.
fn compare_words(left: &str, right: &str) -> Ordering {
    fn weight(byte: u8) -> u16 {
        match byte {
            b'~' => 0,
            letter if letter.is_ascii_alphabetic() => u16::from(letter),
            other => 256 + u16::from(other),
        }
    }
    const END: u16 = 1;
    let weights = |word: &str| {
        let bytes: Vec<u16> = word.bytes().map(weight).chain([END]).collect();
        bytes
    };
    weights(left).cmp(&weights(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version<'_> {
        Version::parse(text).unwrap()
    }

    #[test]
    fn order_is_that_of_the_policy() {
        // Ascending. The tilde examples are those of Debian Policy 5.6.12.1; the rest are shapes
        // that archives have.
        for pair in [
            "1~~ 1~~a 1~ 1 1a",
            "0 1 1.0 1.0.1 1.2 1.10 1:0.1 2:0",
            "2.41-12 2.41-12+deb13u1 2.41-13",
            "5.2.37-2 5.2.37-2+b5 5.2.37-2.1",
            "1.0-1 1.0-a 1.0a 1.0+",
            "1.0 1.0a 1.0b 1.0+b",
            "9 10 0:11 1:0",
            "1.2-3 1.2-3-4 1.3",
            "20230311 20230311+deb12u1",
        ] {
            let versions: Vec<_> = pair.split(' ').map(version).collect();
            for (i, left) in versions.iter().enumerate() {
                for (j, right) in versions.iter().enumerate() {
                    assert_eq!(left.cmp(right), i.cmp(&j), "{left} {right}");
                }
            }
        }
        for (left, right) in [
            ("1.0", "1.00"),
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("01", "1"),
        ] {
            assert_eq!(version(left), version(right), "{left} {right}");
        }
    }

    #[test]
    fn what_is_no_version() {
        for bad in [
            "",
            ":1",
            "a:1",
            "1:",
            "1-",
            "-1",
            "1_2",
            "a1",
            "1 2",
            "1/2",
            "4294967296:1",
            "1-é",
        ] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
        assert!(Version::parse(&"1".repeat(257)).is_err());
        assert_eq!(version("1:2-3").as_str(), "1:2-3");
    }

    proptest! {
        #[test]
        fn order_is_total(texts in prop::collection::vec("[0-9]{1,2}[0-9a-c.+~-]{0,5}", 3)) {
            let versions: Vec<_> = texts.iter().filter_map(|text| Version::parse(text).ok()).collect();
            if let [a, b, c] = versions.as_slice() {
                prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
                if a <= b && b <= c {
                    prop_assert!(a <= c);
                }
            }
        }
    }
}
