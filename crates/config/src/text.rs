//! Text files however they were written: editors and shells of Windows put a mark in front, end
//! lines with CR and LF, or write UTF-16.

use std::io;

/// The text in a file: UTF-8, or UTF-16 behind a byte order mark; without the mark, and with lines
/// that end in LF.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when it is no such text.
pub fn decode(bytes: Vec<u8>) -> io::Result<String> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    let text = match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes).ok_or_else(invalid)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes).ok_or_else(invalid)?,
        _ => String::from_utf8(bytes).map_err(|_| invalid())?,
    };
    let plain = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if plain.contains("\r\n") {
        return Ok(plain.replace("\r\n", "\n"));
    }
    Ok(match plain.len() == text.len() {
        true => text,
        false => plain.to_owned(),
    })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let units = bytes.chunks(2).map(|pair| match pair {
        [one, other] => Some(unit([*one, *other])),
        _ => None,
    });
    String::from_utf16(&units.collect::<Option<Vec<u16>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_windows_writes_is_read_as_if_it_had_been_written_elsewhere() {
        let text = "a = 1\nb = \"ä\"\n";
        let windows = text.replace('\n', "\r\n");
        let marked = format!("\u{feff}{windows}");
        let little: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = marked.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            text.into(),
            windows.into_bytes(),
            format!("\u{feff}{text}").into_bytes(),
            marked.into_bytes(),
            little,
            big,
        ] {
            assert_eq!(decode(bytes).unwrap(), text);
        }
        assert_eq!(decode(b"a\rb".to_vec()).unwrap(), "a\rb");
        for bad in [&b"\xff\xfea"[..], b"\xff\xfe\x00\xd8", b"a\xe4b"] {
            assert!(decode(bad.to_vec()).is_err());
        }
    }
}
