//! Layers that are made up for an image to run: the same on every machine.

use std::path::Path;

use anyhow::Result;

/// How many layers.
pub(super) const LAYERS: usize = 3;
/// How many files in each: about 45 MB, as a system has them, most of them small.
const FILES: usize = 3000;
/// How many of them lie in one directory.
const TOGETHER: usize = 50;

/// Writes the directories `0`, `1` and so on, one for each layer.
pub(super) fn make(directory: &Path) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for layer in 0..LAYERS {
        for file in 0..FILES {
            let above = directory.join(format!("{layer}/{}", file / TOGETHER));
            if file % TOGETHER == 0 {
                fs_err::create_dir_all(&above)?;
            }
            let size = match file % 100 {
                0 => 512 << 10,
                1..10 => 64 << 10,
                _ => 1024 + random.below(8 << 10),
            };
            fs_err::write(above.join(file.to_string()), random.content(size))?;
        }
    }
    Ok(())
}

/// Numbers that are always the same (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or_default() % most
    }

    /// Bytes that compress to about a third, as programs and texts do.
    fn content(&mut self, size: usize) -> Vec<u8> {
        let mut content = Vec::with_capacity(size + 32);
        while content.len() < size {
            let number = self.next();
            match number % 4 {
                0 => content.extend(number.to_le_bytes()),
                word => content.extend(format!("word {word} of {} ", number % 512).bytes()),
            }
        }
        content.truncate(size);
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_made_each_time() {
        let content = || Random(7).content(1000);
        assert_eq!((content().len(), content()), (1000, content()));
    }
}
