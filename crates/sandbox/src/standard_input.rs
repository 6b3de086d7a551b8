//! Passing a file on to a program's standard input, no further than the program reads.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Seek as _};
use std::os::fd::AsFd;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, ioctl_fionread, read, write};

/// How much is passed on at once.
const CHUNK: usize = 64 << 10;

/// A file that is passed on while a program runs.
#[derive(Debug)]
pub(super) struct Input {
    thread: JoinHandle<io::Result<()>>,
    /// It ends when this is closed.
    running: PipeWriter,
    /// Whether reading takes no longer than a disk does.
    is_seekable: bool,
}

impl Input {
    /// Begins to pass on, into the pipe that the program reads.
    ///
    /// # Errors
    /// When there can be no pipe or thread.
    pub(super) fn start(
        mut source: File,
        writer: PipeWriter,
        reader: PipeReader,
    ) -> io::Result<Self> {
        let (ended, running) = io::pipe()?;
        fcntl_setfl(&writer, fcntl_getfl(&writer)? | OFlags::NONBLOCK)?;
        let is_seekable = source.stream_position().is_ok();
        let thread = std::thread::Builder::new()
            .name("standard-input".to_owned())
            .spawn(move || feed(source, writer, &reader, &ended))?;
        Ok(Self {
            thread,
            running,
            is_seekable,
        })
    }

    /// Ends it, when the program has ended. Of a device that has nothing to read just now it is not
    /// waited for. Blocks, but not for long.
    ///
    /// # Errors
    /// When the file could not be read.
    pub(super) fn end(self) -> io::Result<()> {
        drop(self.running);
        if !self.is_seekable && !self.thread.is_finished() {
            return Ok(());
        }
        let failed = |_| Err(io::Error::other("a thread has failed"));
        self.thread.join().unwrap_or_else(failed)
    }
}

/// Passes on what is in a file, until it or the run has ended. What the program has not read by then
/// is left to whoever reads the file next, as if the program had read it itself.
fn feed(
    mut source: File,
    writer: PipeWriter,
    reader: &PipeReader,
    ended: &PipeReader,
) -> io::Result<()> {
    let passed = pass(&source, &writer, ended);
    // So that the program sees the end.
    drop(writer);
    // Until the end of the run: until then the program may read what is in the pipe.
    while let Err(Errno::INTR) = poll(&mut [PollFd::new(ended, PollFlags::IN)], None) {}
    let (left, result) = match passed {
        Passed::Ended { .. } => (0, Ok(())),
        Passed::Stopped { left } => (left, Ok(())),
        Passed::Failed { left, error } => (left, Err(error)),
    };
    let unread = ioctl_fionread(reader)?.saturating_add(left);
    if let (Ok(place), true) = (source.stream_position(), unread > 0) {
        source.seek(io::SeekFrom::Start(place.saturating_sub(unread)))?;
    }
    result
}

/// How passing on came to its end.
#[derive(Debug)]
pub(super) enum Passed {
    /// With the end of what is read, whose last byte is given.
    Ended { last: Option<u8> },
    /// With the run; so many bytes were read and not passed on.
    Stopped { left: u64 },
    /// By an error, with so many bytes left.
    Failed { left: u64, error: io::Error },
}

/// Passes on what comes from a stream, which need not be at its end ever, to one that does not block.
pub(super) fn pass(source: impl AsFd, writer: impl AsFd, ended: &PipeReader) -> Passed {
    let mut chunk = vec![0; CHUNK];
    let mut last = None;
    let failed = |left, errno: Errno| Passed::Failed {
        left,
        error: errno.into(),
    };
    loop {
        if !is_ready(&source, PollFlags::IN, ended) {
            return Passed::Stopped { left: 0 };
        }
        let mut rest = match read(&source, &mut *chunk) {
            Ok(0) => return Passed::Ended { last },
            Ok(count) => chunk.get(..count).unwrap_or_default(),
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Err(errno) => return failed(0, errno),
        };
        last = rest.last().copied().or(last);
        while !rest.is_empty() {
            let left = u64::try_from(rest.len()).unwrap_or(0);
            if !is_ready(&writer, PollFlags::OUT, ended) {
                return Passed::Stopped { left };
            }
            match write(&writer, rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return failed(left, errno),
            }
        }
    }
}

/// Waits until a stream is ready; `false` where the run has ended.
pub(super) fn is_ready(stream: impl AsFd, flags: PollFlags, ended: &PipeReader) -> bool {
    loop {
        let mut streams = [
            PollFd::new(&stream, flags),
            PollFd::new(ended, PollFlags::IN),
        ];
        match poll(&mut streams, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return true,
            Ok(_) => {}
        }
        let [_, ended] = streams;
        return ended.revents().is_empty();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn what_is_not_read_is_left_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        let text: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        file.write_all(&text).unwrap();
        for read in [0, 1000, 100_000, 300_000] {
            file.rewind().unwrap();
            let (mut program, writer) = io::pipe().unwrap();
            let own = program.try_clone().unwrap();
            let input = Input::start(file.try_clone().unwrap(), writer, own).unwrap();
            let mut said = vec![0; read];
            program.read_exact(&mut said).unwrap();
            assert_eq!(said, text[..read]);
            input.end().unwrap();
            assert_eq!(file.stream_position().unwrap(), read as u64);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let directory = fs_err::File::open("/").unwrap().into_parts().0;
        let (mut program, writer) = io::pipe().unwrap();
        let own = program.try_clone().unwrap();
        let input = Input::start(directory, writer, own).unwrap();
        assert_eq!(program.read(&mut [0]).unwrap(), 0);
        assert!(input.end().is_err());
    }
}
