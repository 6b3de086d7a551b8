//! Files with holes, as GNU tar writes them into PAX archives (GNU tar manual, "Storing Sparse
//! Files", formats 0.0, 0.1 and 1.0). Go's `archive/tar`, and so every container runtime, fills the
//! holes with zeros; so does ohoci. GNU's older type `S` no runtime takes.

use std::collections::VecDeque;

use super::pax::{self, Records};

/// What the records of a sparse file begin with.
pub(super) const PREFIX: &[u8] = b"GNU.sparse.";

/// Most pieces of data of one file.
const MOST_PIECES: u64 = 1 << 20;

/// Where the data of a file is, and how long the file is with its holes.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    size: u64,
    at: u64,
    /// Offset and length of what is left of each piece of data, in order.
    pieces: VecDeque<(u64, u64)>,
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// So many bytes of zeros.
    Zeros(u64),
    /// So many bytes of the member's content.
    Data(u64),
    /// Nothing.
    End,
}

/// What a PAX header says of a sparse file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Described {
    /// The file is not sparse.
    No,
    /// Here is its map: format 0.0 or 0.1.
    Inline {
        /// The length with holes.
        size: u64,
        /// Offset and length of each piece of data.
        pieces: Vec<(u64, u64)>,
    },
    /// The map stands in front of the data: format 1.0.
    InContent {
        /// The length with holes.
        size: u64,
    },
}

const BROKEN: &str = "its map of holes is malformed";

/// Reads what a PAX header says.
///
/// # Errors
/// When it is malformed, or of another format.
pub(super) fn described(records: &Records) -> Result<Described, &'static str> {
    let text = |key: &str| {
        let key = [PREFIX, key.as_bytes()].concat();
        records.get(&key).map(Vec::as_slice)
    };
    let number = |key: &str| text(key).and_then(pax::decimal).ok_or(BROKEN);
    if !records.keys().any(|key| key.starts_with(PREFIX)) {
        return Ok(Described::No);
    }
    match (text("major"), text("minor")) {
        (Some(b"1"), Some(b"0")) => {
            let size = number("realsize").or_else(|_| number("size"))?;
            Ok(Described::InContent { size })
        }
        (None | Some(b"0"), _) => {
            let map = text("map").ok_or(BROKEN)?;
            let mut numbers = Vec::new();
            for part in map.split(|byte| *byte == b',') {
                if !map.is_empty() {
                    numbers.push(pax::decimal(part).ok_or(BROKEN)?);
                }
            }
            Ok(Described::Inline {
                size: number("size").or_else(|_| number("realsize"))?,
                pieces: pairs(&numbers, number("numblocks").ok())?,
            })
        }
        _ => Err("it is sparse in a format that no image client reads"),
    }
}

fn pairs(numbers: &[u64], count: Option<u64>) -> Result<Vec<(u64, u64)>, &'static str> {
    let pieces: Vec<(u64, u64)> = numbers
        .chunks(2)
        .map(|pair| match pair {
            [offset, length] => Ok((*offset, *length)),
            _ => Err(BROKEN),
        })
        .collect::<Result<_, _>>()?;
    match count {
        Some(count) if count != pieces.len() as u64 => Err(BROKEN),
        _ => Ok(pieces),
    }
}

/// The name that format 1.0 (and 0.1, if it likes) gives the file: the header's own is made up.
pub(super) fn name(records: &Records) -> Option<&Vec<u8>> {
    records.get(b"GNU.sparse.name".as_slice())
}

/// Reads the map in front of the data of format 1.0: decimal numbers, a line each, padded to whole
/// blocks. `next` gives the next block. Gives the pieces and how many blocks they took.
///
/// # Errors
/// When it is malformed; what `next` fails with.
pub(super) fn read_map<E: From<&'static str>>(
    mut next: impl FnMut() -> Result<[u8; 512], E>,
) -> Result<(Vec<(u64, u64)>, u64), E> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut line: Vec<u8> = Vec::new();
    let mut blocks = 0;
    loop {
        let block = next()?;
        blocks += 1;
        for byte in block {
            if byte != b'\n' {
                // Twenty digits are more than any number has.
                if line.len() > 20 {
                    return Err(BROKEN.into());
                }
                line.push(byte);
                continue;
            }
            let number = pax::decimal(&line).ok_or(BROKEN)?;
            line.clear();
            numbers.push(number);
            let count = numbers.first().copied().unwrap_or(0);
            if count > MOST_PIECES {
                return Err(BROKEN.into());
            }
            if numbers.len() as u64 == 1 + 2 * count {
                let rest = numbers.get(1..).unwrap_or_default();
                return Ok((pairs(rest, Some(count))?, blocks));
            }
        }
    }
}

impl Sparse {
    /// A file of `size` bytes with these pieces of data, of which the tar has `stored` bytes.
    ///
    /// # Errors
    /// When they overlap, lie outside of the file, or are not as long as what is stored.
    pub(super) fn new(
        size: u64,
        pieces: Vec<(u64, u64)>,
        stored: u64,
    ) -> Result<Self, &'static str> {
        let mut end = 0_u64;
        let mut total = 0_u64;
        for (offset, length) in &pieces {
            let after = offset.checked_add(*length).ok_or(BROKEN)?;
            if *offset < end || after > size {
                return Err(BROKEN);
            }
            end = after;
            total = total.checked_add(*length).ok_or(BROKEN)?;
        }
        if total != stored {
            return Err(BROKEN);
        }
        Ok(Self {
            size,
            at: 0,
            pieces: pieces
                .into_iter()
                .filter(|(_, length)| *length > 0)
                .collect(),
        })
    }

    /// What comes next.
    pub(super) fn next(&self) -> Next {
        match self.pieces.front() {
            Some((offset, length)) if *offset <= self.at => Next::Data(*length),
            Some((offset, _)) => Next::Zeros(offset.saturating_sub(self.at)),
            None if self.at < self.size => Next::Zeros(self.size - self.at),
            None => Next::End,
        }
    }

    /// Goes on by so many bytes of what comes next.
    pub(super) fn advance(&mut self, count: u64) {
        let data = matches!(self.next(), Next::Data(_));
        self.at = self.at.saturating_add(count);
        if data && let Some((offset, length)) = self.pieces.front_mut() {
            *offset = offset.saturating_add(count);
            *length = length.saturating_sub(count);
            if *length == 0 {
                self.pieces.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(pairs: &[(&str, &str)]) -> Records {
        let bytes = |text: &str| text.as_bytes().to_vec();
        pairs
            .iter()
            .map(|(key, value)| (bytes(&format!("GNU.sparse.{key}")), bytes(value)))
            .collect()
    }

    #[test]
    fn the_formats_are_told_apart() {
        assert_eq!(described(&Records::new()), Ok(Described::No));
        let one = records(&[("major", "1"), ("minor", "0"), ("realsize", "9")]);
        assert_eq!(described(&one), Ok(Described::InContent { size: 9 }));
        let old = records(&[("size", "9"), ("numblocks", "2"), ("map", "0,1,5,2")]);
        let pieces = vec![(0, 1), (5, 2)];
        assert_eq!(described(&old), Ok(Described::Inline { size: 9, pieces }));
        for bad in [
            records(&[("major", "2"), ("minor", "0")]),
            records(&[("major", "1"), ("minor", "1"), ("realsize", "9")]),
            records(&[("size", "9"), ("numblocks", "1"), ("map", "0,1,5,2")]),
            records(&[("size", "9"), ("map", "0,1,5")]),
            records(&[("size", "9"), ("map", "0,x")]),
            records(&[("size", "9")]),
            records(&[("map", "0,1")]),
        ] {
            assert!(described(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_map_in_the_content_is_read_to_its_end_and_no_further() {
        let block = |text: &str| {
            let mut block = [0; 512];
            block[..text.len()].copy_from_slice(text.as_bytes());
            block
        };
        let mut blocks = vec![block("rest"), block("2\n0\n1\n5\n2\n")];
        let read = read_map::<&str>(|| blocks.pop().ok_or("cut off"));
        assert_eq!(read, Ok((vec![(0, 1), (5, 2)], 1)));
        assert_eq!(blocks.len(), 1);
        for bad in ["x\n", "9999999\n", "1\n1\n", "123456789012345678901234\n"] {
            let mut blocks = vec![block(bad)];
            assert!(
                read_map::<&str>(|| blocks.pop().ok_or("cut off")).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn pieces_that_overlap_or_lie_outside_are_refused() {
        for (size, pieces, stored) in [
            (9, vec![(0, 3), (2, 2)], 5),
            (9, vec![(8, 2)], 2),
            (9, vec![(0, 3)], 4),
            (9, vec![(u64::MAX, 3)], 3),
        ] {
            assert!(
                Sparse::new(size, pieces.clone(), stored).is_err(),
                "{pieces:?}"
            );
        }
        let mut sparse = Sparse::new(6, vec![(1, 2), (4, 0)], 2).unwrap();
        let mut seen = Vec::new();
        loop {
            let next = sparse.next();
            match next {
                Next::Zeros(count) | Next::Data(count) => sparse.advance(count),
                Next::End => break,
            }
            seen.push(next);
        }
        assert_eq!(seen, [Next::Zeros(1), Next::Data(2), Next::Zeros(3)]);
    }
}
