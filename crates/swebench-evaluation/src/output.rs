//! What a run writes, on its way into a file: as text, not without end, and seen by who follows.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;

/// Is told what a run writes, as it comes: the instance, and whole lines.
pub type Follow = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// Most that is kept of what tests write, in bytes.
pub(super) const MOST: u64 = 1 << 30;

/// Passes on text.
///
/// What is no UTF-8 becomes U+FFFD, as upstream writes it: its own tools could not read the log
/// otherwise.
pub(super) struct Text<W> {
    to: W,
    /// The beginning of a character whose rest has not come yet.
    begun: Vec<u8>,
    left: u64,
    is_cut: bool,
}

impl<W: Write> Text<W> {
    pub(super) fn new(to: W, most: u64) -> Self {
        Self {
            to,
            begun: Vec::new(),
            left: most,
            is_cut: false,
        }
    }

    fn pass(&mut self, text: &str) -> io::Result<()> {
        if self.is_cut {
            return Ok(());
        }
        if text.len() as u64 > self.left {
            self.is_cut = true;
            return self
                .to
                .write_all(b"\n\n[ohoci: more was written than is kept]\n");
        }
        self.left -= text.len() as u64;
        self.to.write_all(text.as_bytes())
    }
}

impl<W: Write> Write for Text<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(piece);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.pass(text)?;
                    break;
                }
                Err(error) => {
                    let (good, bad) = rest
                        .split_at_checked(error.valid_up_to())
                        .unwrap_or((rest, &[]));
                    self.pass(&String::from_utf8_lossy(good))?;
                    match error.error_len() {
                        Some(length) => {
                            self.pass("\u{fffd}")?;
                            rest = bad.get(length..).unwrap_or_default();
                        }
                        None => {
                            self.begun = bad.to_vec();
                            break;
                        }
                    }
                }
            }
        }
        Ok(piece.len())
    }

    /// Ends the text.
    fn flush(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.begun).is_empty() {
            self.pass("\u{fffd}")?;
        }
        self.to.flush()
    }
}

/// Shows lines to who follows, and passes everything on.
pub(super) struct Followed<W> {
    to: W,
    instance_id: String,
    follow: Option<Follow>,
    line: Vec<u8>,
}

/// The longest line that is waited for to end, in bytes.
const LONGEST_LINE: usize = 16 << 10;

impl<W: Write> Followed<W> {
    pub(super) fn new(to: W, instance_id: &str, follow: Option<Follow>) -> Self {
        Self {
            to,
            instance_id: instance_id.to_owned(),
            follow,
            line: Vec::new(),
        }
    }

    fn show(&mut self) {
        if let Some(follow) = &self.follow {
            follow(&self.instance_id, &String::from_utf8_lossy(&self.line));
        }
        self.line.clear();
    }
}

impl<W: Write> Write for Followed<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.to.write_all(piece)?;
        if self.follow.is_some() {
            for part in piece.split_inclusive(|byte| *byte == b'\n') {
                let ended = part.strip_suffix(b"\n");
                self.line.extend_from_slice(ended.unwrap_or(part));
                if ended.is_some() || self.line.len() > LONGEST_LINE {
                    self.show();
                }
            }
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.line.is_empty() {
            self.show();
        }
        self.to.flush()
    }
}

/// What a program writes, kept in memory.
#[derive(Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock();
        bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The last lines of a text, no more than so many bytes.
pub(super) fn tail(text: &[u8], lines: usize, most: usize) -> String {
    let text = text
        .get(text.len().saturating_sub(most)..)
        .unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let text = text.trim_end();
    let start = text.rmatch_indices('\n').nth(lines.saturating_sub(1));
    let text = start.map_or(text, |(at, _)| text.get(at + 1..).unwrap_or_default());
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn characters_that_come_in_pieces_stay_whole_and_others_are_replaced() {
        let mut kept = Vec::new();
        let mut text = Text::new(&mut kept, 100);
        for piece in [&b"a\xc3"[..], b"\xa9\xff", b"", b"b\xe2\x82"] {
            text.write_all(piece).unwrap();
        }
        text.flush().unwrap();
        assert_eq!(String::from_utf8(kept).unwrap(), "aé\u{fffd}b\u{fffd}");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let mut kept = Vec::new();
        let mut text = Text::new(&mut kept, 4);
        for piece in [&b"abc"[..], b"defg", b"z"] {
            text.write_all(piece).unwrap();
        }
        let kept = String::from_utf8(kept).unwrap();
        assert!(kept.starts_with("abc\n\n[ohoci: more"), "{kept}");
        assert!(!kept.contains('z'), "{kept}");
    }

    #[test]
    fn who_follows_sees_lines() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let follow: Follow = Arc::new(move |id, line| {
            list.lock().unwrap().push(format!("{id}|{line}"));
        });
        let mut kept = Vec::new();
        let mut to = Followed::new(&mut kept, "i", Some(follow));
        to.write_all(b"a\nb").unwrap();
        to.write_all(b"c\n\nd").unwrap();
        to.flush().unwrap();
        assert_eq!(*seen.lock().unwrap(), ["i|a", "i|bc", "i|", "i|d"]);
        assert_eq!(kept, b"a\nbc\n\nd");
    }

    #[test]
    fn a_tail_has_the_last_lines() {
        assert_eq!(tail(b"a\nb\nc\n", 2, 100), "b\nc");
        assert_eq!(tail(b"a\nb", 5, 100), "a\nb");
        assert_eq!(tail(b"aaaa\nbb", 5, 4), "a\nbb");
        assert_eq!(tail(b"", 5, 4), "");
    }
}
