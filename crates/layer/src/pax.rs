//! PAX extended header records (POSIX.1 `pax`, "pax Extended Header").
//!
//! The `tar` crate splits records at newlines, which breaks the binary values of extended
//! attributes; here the length in front of each record decides.

use std::collections::BTreeMap;

/// What an extended attribute's record name begins with; star's convention, which GNU tar, Go and
/// every container runtime follow.
pub(crate) const XATTR: &[u8] = b"SCHILY.xattr.";

/// Records by key, and so in the order that they are written in.
pub(crate) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads the content of an `x` or `g` header.
///
/// # Errors
/// Why it cannot be read: a record with a wrong length, without a key, or a key that is there
/// twice, which different readers resolve differently.
pub(crate) fn parse(mut data: &[u8]) -> Result<Records, &'static str> {
    const BROKEN: &str = "its PAX header is malformed";
    let mut records = Records::new();
    while !data.is_empty() {
        // Twenty digits are more than any length that fits into memory.
        let space = data.iter().take(20).position(|byte| *byte == b' ');
        let digits = space.and_then(|end| data.get(..end)).ok_or(BROKEN)?;
        let length = decimal(digits)
            .and_then(|length| usize::try_from(length).ok())
            .ok_or(BROKEN)?;
        let (record, rest) = data.split_at_checked(length).ok_or(BROKEN)?;
        let body = record
            .get(digits.len() + 1..)
            .and_then(|body| body.strip_suffix(b"\n"))
            .ok_or(BROKEN)?;
        let equals = body.iter().position(|byte| *byte == b'=').ok_or(BROKEN)?;
        let (key, value) = body.split_at_checked(equals).ok_or(BROKEN)?;
        let value = value.get(1..).unwrap_or_default();
        if key.is_empty() || key.contains(&0) {
            return Err(BROKEN);
        }
        // The oldest format of sparse files has a pair of records for each piece of data; together
        // they are what the next one has as one record.
        if is_repeated(key) {
            let map = records.entry(b"GNU.sparse.map".to_vec()).or_default();
            if !map.is_empty() {
                map.push(b',');
            }
            map.extend_from_slice(value);
        } else if records.insert(key.to_vec(), value.to_vec()).is_some() {
            return Err("its PAX header has a key twice");
        }
        data = rest;
    }
    Ok(records)
}

/// Writes the content of an `x` header.
#[must_use]
pub(crate) fn format(records: &Records) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits.
        let mut length = rest + 1;
        while length != rest + digits(length) {
            length = rest + digits(length);
        }
        data.extend_from_slice(length.to_string().as_bytes());
        data.push(b' ');
        data.extend_from_slice(key);
        data.push(b'=');
        data.extend_from_slice(value);
        data.push(b'\n');
    }
    data
}

/// A number of decimal digits and nothing else.
#[must_use]
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The whole seconds, rounded down, of a time such as `-1.25`.
#[must_use]
pub(crate) fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, unsigned) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = unsigned.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (unsigned.get(..point)?, unsigned.get(point + 1..)?),
        None => (unsigned, [].as_slice()),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let whole = i128::from(decimal(whole)?);
    let below = i128::from(fraction.iter().any(|digit| *digit != b'0'));
    i64::try_from(if negative { -whole - below } else { whole }).ok()
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

/// Takes the repeated records of format 0.0 together, which only mean something in their order.
fn is_repeated(key: &[u8]) -> bool {
    matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_themselves() {
        // POSIX's own kind of corner: the length's digits change the length.
        for size in 0..1200 {
            let records = Records::from([(b"path".to_vec(), vec![b'x'; size])]);
            let data = format(&records);
            assert_eq!(parse(&data).as_ref(), Ok(&records));
            let text = data.split(|byte| *byte == b' ').next().unwrap();
            assert_eq!(decimal(text), Some(data.len() as u64));
        }
    }

    #[test]
    fn binary_values_survive() {
        let records = Records::from([(b"SCHILY.xattr.a".to_vec(), b"\0\n=\n12 x=\xff".to_vec())]);
        assert_eq!(parse(&format(&records)), Ok(records));
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            "path=x\n",
            "9 path=x",
            "8 path=x\n",
            "99 path=x\n",
            "7 path\n",
            "5 =x\n",
            "+9 path=x\n",
            "0 \n",
            "99999999999999999999999 path=x\n",
            "9 path=x\n9 path=y\n",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_round_down() {
        for (text, expected) in [
            ("1", Some(1)),
            ("1.999", Some(1)),
            ("-1", Some(-1)),
            ("-1.25", Some(-2)),
            ("-1.0", Some(-1)),
            ("", None),
            ("1.x", None),
            ("1e3", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775808.5", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
