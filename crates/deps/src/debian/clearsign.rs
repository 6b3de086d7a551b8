//! The cleartext signature framework (RFC 9580, section 7): text with a signature behind it.
//!
//! Taken apart here and not by the OpenPGP library, whose reader takes time quadratic in the size
//! of the text. What is returned is what was signed, and nothing else of the file.

const MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// The parts of a clear-signed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClearSigned<'a> {
    /// The text, without what protects it, with lines that end in a newline.
    pub text: String,
    /// The armored signature.
    pub signature: &'a str,
}

/// Why something is no clear-signed text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no clear-signed text: {0}")]
pub struct ClearSignError(&'static str);

/// Takes a clear-signed text apart.
///
/// # Errors
/// When there is anything before, between or behind the parts that does not belong there.
pub fn split(file: &str) -> Result<ClearSigned<'_>, ClearSignError> {
    let mut at = 0;
    let mut lines = file.split_inclusive('\n').map(|line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r', ' ', '\t']))
    });
    if lines.next().is_none_or(|(_, line)| line != MESSAGE) {
        return Err(ClearSignError("it does not begin as one"));
    }
    loop {
        match lines.next() {
            Some((_, "")) => break,
            // The only header that may stand here; the signatures say their algorithm themselves.
            Some((_, line)) if line.starts_with("Hash: ") => {}
            _ => return Err(ClearSignError("it has an unknown header")),
        }
    }
    let mut text = String::with_capacity(file.len());
    let start = loop {
        match lines.next() {
            Some((start, SIGNATURE)) => break start,
            Some((_, line)) => {
                let line = match line.strip_prefix("- ") {
                    Some(line) => line,
                    None if line.starts_with('-') => {
                        return Err(ClearSignError("a line begins with an unprotected dash"));
                    }
                    None => line,
                };
                // What is signed holds no bare CR, so that one could pass for a line's end.
                if line.contains('\r') {
                    return Err(ClearSignError("a line has a carriage return within"));
                }
                text.push_str(line);
                text.push('\n');
            }
            None => return Err(ClearSignError("it ends before the signature: cut off?")),
        }
    };
    if !lines.by_ref().any(|(_, line)| line == END) {
        return Err(ClearSignError("it ends within the signature: cut off?"));
    }
    if lines.any(|(_, line)| !line.is_empty()) {
        return Err(ClearSignError("there is something behind the signature"));
    }
    Ok(ClearSigned {
        text,
        signature: file.get(start..).unwrap_or_default(),
    })
}

impl ClearSigned<'_> {
    /// The bytes that were signed: lines that end in CR and LF, of which the last is no part.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let text = self.text.strip_suffix('\n').unwrap_or(&self.text);
        text.replace('\n', "\r\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_unprotected_and_signed_as_the_framework_says() {
        let file = "-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA256\n\nA: b  \n- -dash\n\n\
                    -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n\n";
        let parts = split(file).unwrap();
        assert_eq!(parts.text, "A: b\n-dash\n\n");
        assert_eq!(parts.signed_bytes(), b"A: b\r\n-dash\r\n");
        assert!(parts.signature.starts_with(SIGNATURE));
    }

    #[test]
    fn nothing_unsigned_gets_through() {
        let good = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: b\n\
                    -----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";
        assert!(split(good).is_ok());
        for bad in [
            String::new(),
            "A: b\n".to_owned(),
            format!("Evil: 1\n{good}"),
            format!("\n{good}"),
            format!("{good}Evil: 1\n"),
            good.replace("Hash: SHA256\n", "Evil: 1\n"),
            good.replace("\n\nA: b", "\nA: b"),
            good.replace("A: b\n", "A: b\n-----BEGIN PGP SIGNED MESSAGE-----\n"),
            good.replace("A: b", "A: b\rEvil: 1"),
            good.replace("-----END PGP SIGNATURE-----\n", ""),
            good.replace("-----BEGIN PGP SIGNATURE-----\n", ""),
        ] {
            assert!(split(&bad).is_err(), "{bad}");
        }
    }
}
