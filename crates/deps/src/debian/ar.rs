//! `ar` archives as `.deb` files are (deb(5)): short names, sizes, contents, in their order.

use std::io::{self, Read};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// One member; its content is read from the [`ArReader`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArMember {
    /// Its name, without what pads it.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Reads an archive member by member. It is itself a reader: of the content of the member that
/// [`ArReader::next_member`] returned last.
#[derive(Debug)]
pub struct ArReader<R> {
    input: R,
    begun: bool,
    left: u64,
    is_padded: bool,
}

fn malformed(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

impl<R: Read> ArReader<R> {
    /// A reader of the archive that starts where `input` stands.
    pub fn new(input: R) -> Self {
        Self {
            input,
            begun: false,
            left: 0,
            is_padded: false,
        }
    }

    /// Goes to the next member; `None` at the end.
    ///
    /// # Errors
    /// When reading fails, or it is no archive, or is cut off.
    pub fn next_member(&mut self) -> io::Result<Option<ArMember>> {
        if !self.begun {
            let mut magic = [0; MAGIC.len()];
            if fill(&mut self.input, &mut magic)? < MAGIC.len() || magic != MAGIC {
                return Err(malformed("this is no Debian package: it is no ar archive"));
            }
            self.begun = true;
        }
        self.skip()?;
        let mut header = [0; HEADER];
        match fill(&mut self.input, &mut header)? {
            0 => return Ok(None),
            HEADER => {}
            _ => return Err(malformed("it ends inside an ar header: cut off?")),
        }
        let field = |from: usize, to: usize| header.get(from..to).unwrap_or_default();
        if field(58, 60) != b"`\n" {
            return Err(malformed("an ar header has no proper end"));
        }
        let name = field(0, 16).trim_ascii_end();
        // Common ar puts a slash behind names.
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let legal = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
        if name.is_empty() || !name.iter().all(legal) {
            return Err(malformed("an ar member has no proper name"));
        }
        let name = String::from_utf8_lossy(name).into_owned();
        let size = field(48, 58).trim_ascii_end();
        let size: Option<u64> = std::str::from_utf8(size)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        let Some(size) = size else {
            return Err(malformed(format!(
                "the size of ar member {name} is no number"
            )));
        };
        self.left = size;
        self.is_padded = size % 2 == 1;
        Ok(Some(ArMember { name, size }))
    }

    fn skip(&mut self) -> io::Result<()> {
        let left = self.left;
        let skipped = io::copy(&mut self.input.by_ref().take(left), &mut io::sink())?;
        self.left = 0;
        if skipped < left {
            return Err(malformed("it ends inside an ar member: cut off?"));
        }
        if std::mem::take(&mut self.is_padded) {
            let mut padding = [0];
            // Nothing need stand behind the last member.
            if fill(&mut self.input, &mut padding)? == 1 && padding != [b'\n'] {
                return Err(malformed("an ar member is not padded as it should be"));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for ArReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.input.read(buffer)?;
        if count == 0 {
            return Err(malformed("it ends inside an ar member: cut off?"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use testbed::debian::deb::{ar, ar_header};

    use super::*;

    fn read_all(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut reader = ArReader::new(bytes);
        let mut members = Vec::new();
        while let Some(member) = reader.next_member()? {
            let mut content = Vec::new();
            reader.read_to_end(&mut content)?;
            assert_eq!(content.len() as u64, member.size);
            members.push((member.name, content));
        }
        Ok(members)
    }

    #[test]
    fn members_come_in_their_order_whether_read_or_skipped() {
        let archive = ar(&[("one", b"1"), ("two/", b"22"), ("three", b"")]);
        let members = read_all(&archive).unwrap();
        let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["one", "two", "three"]);
        assert_eq!(members[1].1, b"22");
        let mut reader = ArReader::new(archive.as_slice());
        let mut count = 0;
        while reader.next_member().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, 3);
        assert_eq!(read_all(b"!<arch>\n").unwrap(), []);
        // The padding behind the last member may be missing.
        let odd = ar(&[("one", b"1")]);
        assert_eq!(read_all(&odd[..odd.len() - 1]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_archive() {
        let good = ar(&[("one", b"1"), ("two", b"22")]);
        for length in [0, 7, 20, 68, 71, good.len() - 1] {
            assert!(read_all(&good[..length]).is_err(), "{length}");
        }
        let header = |header: &[u8]| [b"!<arch>\n", header].concat();
        for bad in [
            b"!<arch>\r".to_vec(),
            header(&ar_header("", 0)),
            header(&ar_header("a/b", 0)),
            header(&ar_header("a b", 0)),
            header(&ar_header("a", 9_999_999_999)),
            header(
                &String::from_utf8(ar_header("a", 0))
                    .unwrap()
                    .replace("0         `", "-1        `")
                    .into_bytes(),
            ),
            header(
                &String::from_utf8(ar_header("a", 0))
                    .unwrap()
                    .replace('`', "'")
                    .into_bytes(),
            ),
        ] {
            assert!(read_all(&bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read_all(&bytes);
            let _ = read_all(&[MAGIC, &bytes].concat());
        }
    }
}
