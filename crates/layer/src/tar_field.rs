//! The fields of a tar header, read strictly.
//!
//! The `tar` crate ignores the upper bytes of large binary numbers and refuses empty fields, which
//! Go writes; both would make two readers see two different tars.

use tar::Header;

/// The name in a header, with the prefix that POSIX puts in front of it.
pub(super) fn path(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(mut path) if !path.is_empty() => {
            path.push(b'/');
            path.extend_from_slice(&name);
            path
        }
        _ => name,
    }
}

/// The bytes before the first NUL.
pub(super) fn until_nul(field: &[u8]) -> Vec<u8> {
    field
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default()
        .to_vec()
}

/// Whether the checksum is that of the header: the sum of all bytes, with those of the checksum
/// itself taken as spaces (POSIX.1 `pax`, "ustar Interchange Format").
pub(super) fn has_right_checksum(header: &Header) -> bool {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let field = &header.as_old().cksum;
    let blank = field.len() as u64 * u64::from(b' ');
    octal(field) == Some(sum(header.as_bytes()) - sum(field) + blank)
}

/// A field in octal or, as GNU and star do for large numbers, in base 256.
pub(super) fn signed(field: &[u8]) -> Option<i64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 == 0 {
        return octal(field).and_then(|value| i64::try_from(value).ok());
    }
    // Two's complement of which the top bit marks the format: the next one is the sign.
    let start = i64::from(first & 0x7f) - if first & 0x40 == 0 { 0 } else { 0x80 };
    rest.iter().try_fold(start, |value, byte| {
        value.checked_mul(256)?.checked_add(i64::from(*byte))
    })
}

/// A number that is not negative.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    u64::try_from(signed(field)?).ok()
}

/// An octal field: spaces, digits, then spaces or NULs. An empty one is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|byte| *byte != b' ');
    let field = field.get(start.unwrap_or(field.len())..)?;
    let end = field.iter().position(|byte| matches!(byte, b' ' | 0));
    let (digits, rest) = field.split_at_checked(end.unwrap_or(field.len()))?;
    if !rest.iter().all(|byte| matches!(byte, b' ' | 0)) {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_formats() {
        let cases: [(&[u8], Option<i64>); 12] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777", Some(0o7777_7777)),
            (b"000064x\0", None),
            (b"0000 644", None),
            (b"-000644\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe",
                Some(-2),
            ),
            (
                b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
                Some(i64::MAX),
            ),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\0", None),
        ];
        for (field, expected) in cases {
            assert_eq!(signed(field), expected, "{}", field.escape_ascii());
        }
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
