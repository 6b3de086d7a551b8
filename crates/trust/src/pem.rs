//! PEM (RFC 7468): one block of base64 between two lines that name it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Most of a PEM file that is read, in bytes: an RSA key of 8192 bits is 6 kB.
pub const MAX_PEM: u64 = 64 << 10;

/// A block: what its lines say that it is, and its bytes.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// The first block of a text; `None` where there is none that can be read.
pub(crate) fn first(text: &str) -> Option<Block> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    let bytes = STANDARD.decode(body.as_bytes()).ok()?;
    Some(Block {
        label: label.to_owned(),
        bytes: Zeroizing::new(bytes),
    })
}

/// The certificates of a text, which holds nothing else; `None` where it holds something else.
pub(crate) fn certificates(text: &str) -> Option<Vec<Vec<u8>>> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut list = Vec::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let (one, behind) = rest.split_once(END)?;
        let block = first(&format!("{one}{END}"))?;
        if block.label != "CERTIFICATE" {
            return None;
        }
        list.push(block.bytes.to_vec());
        rest = behind;
    }
    Some(list)
}

/// A block as text, in lines of 64 characters.
pub(crate) fn write(label: &str, bytes: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(bytes));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    for (at, c) in body.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(c);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_not() {
        let bytes: Vec<u8> = (0..=255).collect();
        let text = write("PUBLIC KEY", &bytes);
        let block = first(&text).unwrap();
        assert_eq!(
            (block.label.as_str(), block.bytes.as_slice()),
            ("PUBLIC KEY", bytes.as_slice())
        );
        assert!(text.lines().all(|line| line.len() <= 64));
        assert!(first(&text[..text.len() - 3]).is_none());
        assert!(first("").is_none());
    }
}
