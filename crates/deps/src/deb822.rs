//! Control data (deb-control(5), "deb822"): stanzas of fields, read without copying.

/// Most bytes in one stanza.
const MAX_STANZA: usize = 4 << 20;
/// Most fields in one stanza.
const MAX_FIELDS: usize = 512;

/// One stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// The line that it starts at, counted from 1.
    pub line: usize,
    fields: Vec<(&'a str, &'a str)>,
}

/// Why text is no control data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ControlError {
    line: usize,
    reason: String,
}

impl ControlError {
    /// The line at fault, counted from 1.
    #[must_use]
    pub(crate) fn line(&self) -> usize {
        self.line
    }
}

/// Whether lines that begin with `#` are comments, or errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// In files that people write.
    Allowed,
    /// In files that archives publish.
    Refused,
}

/// The stanzas of a text, one after the other.
#[derive(Clone, Debug)]
pub struct Stanzas<'a> {
    text: &'a str,
    /// Where the next line starts.
    at: usize,
    /// How many lines have been read.
    line: usize,
    comments: Comments,
    failed: bool,
}

/// A field whose value may go on.
struct Open<'a> {
    name: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Stanza<'a> {
    /// The value of a field, whose name may be in any case. Lines that continue it begin with a
    /// space.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }

    /// Names and values in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields.iter().copied()
    }
}

impl<'a> Stanzas<'a> {
    /// The stanzas of `text`.
    #[must_use]
    pub fn new(text: &'a str, comments: Comments) -> Self {
        Self {
            text,
            at: 0,
            line: 0,
            comments,
            failed: false,
        }
    }

    /// The next line, and where it starts.
    fn next_line(&mut self) -> Option<(usize, &'a str)> {
        let start = self.at;
        let rest = self.text.get(start..).filter(|rest| !rest.is_empty())?;
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        self.at = start + line.len() + 1;
        self.line += 1;
        Some((start, line))
    }

    fn fail(&mut self, reason: impl Into<String>) -> ControlError {
        self.failed = true;
        ControlError {
            line: self.line,
            reason: reason.into(),
        }
    }

    fn close(&self, stanza: &mut Stanza<'a>, open: &mut Option<Open<'a>>) {
        if let Some(Open { name, start, end }) = open.take() {
            let value = self.text.get(start..end).unwrap_or_default();
            stanza.fields.push((name, value.trim_ascii()));
        }
    }

    fn stanza(&mut self) -> Result<Option<Stanza<'a>>, ControlError> {
        let mut stanza = Stanza {
            line: 0,
            fields: Vec::new(),
        };
        let begin = self.at;
        let mut open: Option<Open<'a>> = None;
        while let Some((start, line)) = self.next_line() {
            if line.trim_ascii().is_empty() {
                if stanza.line == 0 {
                    continue;
                }
                break;
            }
            if self.at - begin > MAX_STANZA {
                return Err(self.fail("the stanza has more than 4 MiB"));
            }
            if line.starts_with('#') {
                if self.comments == Comments::Refused {
                    return Err(self.fail("there is a comment, which cannot be here"));
                }
                // What follows would take the comment into the value.
                self.close(&mut stanza, &mut open);
                continue;
            }
            if line.starts_with([' ', '\t']) {
                match &mut open {
                    Some(open) => open.end = start + line.len(),
                    None => {
                        return Err(self.fail("it continues a field, but there is none before it"));
                    }
                }
                continue;
            }
            self.close(&mut stanza, &mut open);
            let Some((name, value)) = line.split_once(':') else {
                return Err(self.fail("there is no colon behind the field's name"));
            };
            // Policy 5.1: printable ASCII without spaces and colons, not beginning with `-`.
            if name.is_empty()
                || name.starts_with('-')
                || !name.bytes().all(|byte| byte.is_ascii_graphic())
            {
                return Err(self.fail("a field has no proper name"));
            }
            if stanza.get(name).is_some() {
                return Err(self.fail(format!("the field {name} is there twice")));
            }
            if stanza.fields.len() >= MAX_FIELDS {
                return Err(self.fail("the stanza has too many fields"));
            }
            if stanza.line == 0 {
                stanza.line = self.line;
            }
            let end = start + line.len();
            open = Some(Open {
                name,
                start: end - value.len(),
                end,
            });
        }
        self.close(&mut stanza, &mut open);
        Ok((stanza.line != 0).then_some(stanza))
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        self.stanza().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Vec<Stanza<'_>>, ControlError> {
        Stanzas::new(text, Comments::Refused).collect()
    }

    #[test]
    fn stanzas_fields_and_continued_values() {
        let text =
            "\n\nPackage: a\nDescription: short\n long\n .\n  more\nSize:12\n \t\nPackage: b";
        let stanzas = read(text).unwrap();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].line, 3);
        assert_eq!(
            stanzas[0].get("description"),
            Some("short\n long\n .\n  more")
        );
        assert_eq!(stanzas[0].get("Size"), Some("12"));
        assert_eq!(stanzas[1].line, 10);
        assert_eq!(stanzas[1].get("Package"), Some("b"));
        assert_eq!(stanzas[1].get("Size"), None);
        let names: Vec<_> = stanzas[0].fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["Package", "Description", "Size"]);
        assert_eq!(read("").unwrap(), []);
        assert_eq!(
            read("SHA256:\n aa 1 x\n bb 2 y\n").unwrap()[0].get("SHA256"),
            Some("aa 1 x\n bb 2 y")
        );
    }

    #[test]
    fn comments_are_for_people() {
        let text = "# why\nTypes: deb\n# not here\nURIs: x\n";
        assert!(read(text).is_err());
        let stanzas: Vec<_> = Stanzas::new(text, Comments::Allowed)
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(stanzas.len(), 1);
        assert_eq!(stanzas[0].get("Types"), Some("deb"));
        assert_eq!(stanzas[0].get("URIs"), Some("x"));
    }

    #[test]
    fn what_readers_could_take_differently_is_refused() {
        for (text, line) in [
            (" continued: a\n", 1),
            ("A: 1\nno colon\n", 2),
            ("A: 1\na: 2\n", 2),
            (": 1\n", 1),
            ("-A: 1\n", 1),
            ("A b: 1\n", 1),
            ("A: 1\n\n\nÄ: 1\n", 4),
        ] {
            assert_eq!(read(text).unwrap_err().line(), line, "{text}");
        }
        let long = format!("A: {}\n", "x".repeat(MAX_STANZA));
        assert!(read(&long).is_err());
        let many: String = (0..=MAX_FIELDS).map(|n| format!("F{n}: x\n")).collect();
        assert!(read(&many).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "([A-Z#: \t\n-]|\\PC){0,80}") {
            let _ = read(&text);
            let _: Vec<_> = Stanzas::new(&text, Comments::Allowed).collect();
        }
    }
}
