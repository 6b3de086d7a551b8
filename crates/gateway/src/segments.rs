//! Documents in memory, one behind the other in segments that go as a whole: pieces that come and go one by
//! one would leave holes between them, which take as much memory as they do.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::compact::CompactDigest;

/// Bytes of a segment, where that leaves room for eight of them.
const SEGMENT: usize = 1 << 20;

/// What a document takes besides its bytes.
const BOOKKEEPING: usize = 256;

/// Documents by digest, the oldest of which make room for new ones. Those that are asked for stay.
#[derive(Debug)]
pub(crate) struct Segments {
    /// Most bytes of all segments together, unless the newest alone has more.
    limit: usize,
    /// What is left of the newest segment.
    rest: BytesMut,
    /// The oldest first.
    segments: VecDeque<Segment>,
    /// The number of the oldest.
    first: u64,
    documents: HashMap<CompactDigest, Kept>,
    /// Bytes of all segments, with the bookkeeping.
    taken: usize,
}

/// What goes at once.
#[derive(Debug)]
struct Segment {
    /// What was put there; some of it may be in a newer one by now.
    keys: Vec<CompactDigest>,
    size: usize,
}

#[derive(Debug)]
struct Kept {
    segment: u64,
    bytes: Bytes,
}

impl Segments {
    /// Nothing yet, and never more than `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            rest: BytesMut::new(),
            segments: VecDeque::new(),
            first: 0,
            documents: HashMap::new(),
            taken: 0,
        }
    }

    /// Keeps a copy.
    pub(crate) fn put(&mut self, key: CompactDigest, bytes: &[u8]) {
        if self.documents.contains_key(&key) {
            return;
        }
        let usual = SEGMENT.min(self.limit / 8);
        let is_full = |segment: &Segment| segment.keys.len() >= usual / BOOKKEEPING;
        if self.segments.back().is_none_or(is_full) || self.free() < bytes.len() {
            self.begin(usual.max(bytes.len()));
        }
        self.rest.extend_from_slice(bytes);
        let kept = Kept {
            segment: self.newest(),
            bytes: self.rest.split().freeze(),
        };
        if let Some(segment) = self.segments.back_mut() {
            segment.keys.push(key.clone());
        }
        self.documents.insert(key, kept);
        self.taken = self.taken.saturating_add(BOOKKEEPING);
        self.make_room();
    }

    /// A document, which stays in memory for a while again.
    pub(crate) fn get(&mut self, key: &CompactDigest) -> Option<Bytes> {
        let kept = self.documents.get(key)?;
        let bytes = kept.bytes.clone();
        let is_old = kept.segment < self.first.saturating_add(self.segments.len() as u64 / 2);
        if is_old {
            self.documents.remove(key);
            self.put(key.clone(), &bytes);
        }
        Some(bytes)
    }

    /// How many documents there are, and their bytes.
    pub(crate) fn count(&self) -> (u64, u64) {
        let sizes = self.documents.values().map(|kept| kept.bytes.len() as u64);
        let bytes = sizes.fold(0, u64::saturating_add);
        (self.documents.len() as u64, bytes)
    }

    fn free(&self) -> usize {
        self.rest.capacity().saturating_sub(self.rest.len())
    }

    fn newest(&self) -> u64 {
        let others = self.segments.len().saturating_sub(1);
        self.first.saturating_add(others as u64)
    }

    fn begin(&mut self, size: usize) {
        self.rest = BytesMut::with_capacity(size);
        let keys = Vec::new();
        self.segments.push_back(Segment { keys, size });
        self.taken = self.taken.saturating_add(size);
    }

    fn make_room(&mut self) {
        while self.taken > self.limit && self.segments.len() > 1 {
            let Some(gone) = self.segments.pop_front() else {
                return;
            };
            for key in &gone.keys {
                let is_there = self.documents.get(key);
                if is_there.is_some_and(|kept| kept.segment == self.first) {
                    self.documents.remove(key);
                }
            }
            let bookkeeping = gone.keys.len().saturating_mul(BOOKKEEPING);
            let size = gone.size.saturating_add(bookkeeping);
            self.taken = self.taken.saturating_sub(size);
            self.first = self.first.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use ohoci_image::Digest;

    fn key(number: u32) -> CompactDigest {
        CompactDigest::of(&Digest::of(&number.to_be_bytes()))
    }

    /// Bytes that are really taken: of segments, not of documents.
    fn taken(segments: &Segments) -> usize {
        segments.segments.iter().map(|segment| segment.size).sum()
    }

    #[test]
    fn memory_is_bounded_whatever_the_documents_are() {
        const LIMIT: usize = 4 << 20;
        for size in [0, 10, 3000, 300_000, 3_000_000] {
            let mut segments = Segments::new(LIMIT);
            let document = vec![7; size];
            for number in 0..20_000_000_u32 / (1000 + size as u32) {
                segments.put(key(number), &document);
                let bookkeeping = segments.documents.len() * BOOKKEEPING;
                let all = taken(&segments) + bookkeeping;
                assert!(all <= LIMIT + size + SEGMENT, "{size}: {all}");
                let kept = segments.get(&key(number)).unwrap();
                assert_eq!(kept.len(), size);
            }
            assert!(segments.get(&key(0)).is_none() || size == 3_000_000 || size == 300_000);
        }
    }

    #[test]
    fn what_is_asked_for_stays() {
        let mut segments = Segments::new(1 << 20);
        for number in 0..10_000_u32 {
            segments.put(key(number), &number.to_be_bytes().repeat(500));
            let asked = segments.get(&key(0));
            assert_eq!(asked.unwrap(), [0; 2000].as_slice(), "{number}");
        }
        assert!(segments.get(&key(1)).is_none());
        let (count, bytes) = segments.count();
        assert_eq!(bytes, count * 2000);
        assert!(count > 200, "{count}");
    }
}
