//! Inputs that are nearly right, the same ones every time.

/// A generator of numbers without a secret (splitmix64).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// Below `end`, and 0 where that is 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// A range within `length`, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = if self.below(4) == 0 { length } else { 16 };
        start..(start + self.below(most) + 1).min(length)
    }
}

const BYTES: [u8; 14] = [
    0, 1, 0x7f, 0x80, 0xff, b'/', b'.', b'\n', b' ', b'0', b'7', b'9', b'"', b'-',
];
const NUMBERS: [u64; 8] = [
    0,
    1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];
/// What paths, sizes and texts should not be.
const WORDS: [&[u8]; 18] = [
    b"../",
    b"/../..",
    b"/etc/passwd\0",
    b"..\0",
    b"./",
    b"//",
    b"\0",
    b"77777777777",
    b"99999999999",
    b"-1",
    b"18446744073709551616",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r\n\r\n",
    b"node_modules/",
    b"sha256:",
    b"{[\"",
    b"}]",
];

/// One of the seeds, changed in a few places.
pub(super) fn mutated(random: &mut Random, seeds: &[&[u8]]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).to_vec();
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, seeds);
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, seeds: &[&[u8]]) {
    let length = bytes.len();
    let at = random.below(length);
    match random.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 | 2 => {
            let value = BYTES[random.below(BYTES.len())];
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(random.range(length))),
        5 => {
            let again = bytes[random.range(length)].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)].min(length - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        7 => {
            let other = random.pick(seeds);
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
        8 => {
            let word = random.pick(&WORDS);
            let width = word.len().min(length - at);
            bytes[at..at + width].copy_from_slice(&word[..width]);
        }
        _ => {
            let word = random.pick(&WORDS);
            bytes.splice(at..at, word.iter().copied());
        }
    }
    // Inputs of a few kilobytes find what there is to find.
    bytes.truncate(64 << 10);
}
