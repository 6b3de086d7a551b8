//! Where a program reads and writes, and what stands between it and this machine's files.
//!
//! Whoever has a file open can open it once more by `/proc/self/fd`, in other ways than it was given:
//! one that is to be read could be written, one that is only to grow could be emptied; and whoever
//! owns it could change its mode. So files reach no program: it has pipes, which are filled and
//! emptied here.

use std::fs::File;
use std::io::{self, PipeReader, Read, Seek as _, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, MemfdFlags, Stat, fstat, major, memfd_create, minor};
use rustix::io::Errno;
use tokio::sync::Notify;

use super::standard_input::Input;
use super::terminal::{Shown, Terminal, Typing};

/// Where the program reads and writes.
pub enum Streams {
    /// Where this process does. Files are passed on through pipes.
    Inherited,
    /// It has a terminal of its own, which is shown where this process writes. What this process reads
    /// is typed in there; if that is a terminal, it is one for the program from then on: it hands on
    /// every key, Ctrl-C among them, and every change of its size.
    Terminal,
    /// It reads nothing; what it writes to standard output and standard error comes through one
    /// pipe, in the order in which it is written.
    Into(Box<dyn Write + Send>),
    /// It reads this; what it writes to standard output and standard error comes through a pipe each.
    Apart {
        /// What it reads, to the end.
        input: Vec<u8>,
        /// Takes standard output.
        output: Box<dyn Write + Send>,
        /// Takes standard error.
        error: Box<dyn Write + Send>,
    },
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inherited => "Inherited",
            Self::Terminal => "Terminal",
            Self::Into(_) => "Into(…)",
            Self::Apart { .. } => "Apart { … }",
        })
    }
}

/// The streams as the program gets them, and what passes on what goes through them.
pub(super) struct Prepared {
    /// Standard input, output and error; this process's own where there is none.
    pub(super) streams: [Option<OwnedFd>; 3],
    /// Whether they are a terminal of the program's own.
    pub(super) is_terminal: bool,
    pub(super) passing: Passing,
}

/// What is to be passed on while a program runs.
pub(super) struct Passing {
    outputs: Vec<Output>,
    /// A file, and the pipe that a program reads it from.
    input: Option<(File, io::PipeWriter, PipeReader)>,
    terminal: Option<Shown>,
    hung_up: Arc<Notify>,
}

/// What comes from a program.
struct Output {
    from: File,
    to: Box<dyn Write + Send>,
    /// What becomes of the program when it cannot be passed on.
    failing: Failing,
    /// Told when it cannot.
    hung_up: Option<Arc<Notify>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    /// It is not held up by that: the rest is read all the same.
    Drains,
    /// It has nowhere to write to any more, as with a pipe whose reader is gone.
    Stops,
}

/// What passes on while a program runs, until it has ended.
pub(super) struct Passed {
    outputs: Vec<tokio::task::JoinHandle<io::Result<()>>>,
    input: Option<Input>,
    terminal: Option<Typing>,
    hung_up: Arc<Notify>,
}

/// Makes the streams of a program.
///
/// # Errors
/// When pipes cannot be made.
pub(super) fn prepare(streams: Streams) -> io::Result<Prepared> {
    match streams {
        Streams::Into(to) => {
            let (from, writer) = io::pipe()?;
            let null = fs_err::File::open("/dev/null")?;
            let error = writer.try_clone()?;
            Ok(Prepared {
                streams: [
                    Some(null.into_file().into()),
                    Some(writer.into()),
                    Some(error.into()),
                ],
                is_terminal: false,
                passing: Passing {
                    outputs: vec![Output {
                        from: OwnedFd::from(from).into(),
                        to,
                        failing: Failing::Drains,
                        hung_up: None,
                    }],
                    input: None,
                    terminal: None,
                    hung_up: Arc::default(),
                },
            })
        }
        Streams::Apart {
            input,
            output,
            error,
        } => apart(&input, [output, error]),
        Streams::Terminal => terminal(),
        Streams::Inherited => own(),
    }
}

/// A pipe for each stream.
fn apart(input: &[u8], sinks: [Box<dyn Write + Send>; 2]) -> io::Result<Prepared> {
    let (reader, writer) = io::pipe()?;
    let file = memfd_create("standard-input", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    file.write_all(input)?;
    file.rewind()?;
    let mut outputs = Vec::new();
    let mut streams = Vec::new();
    for to in sinks {
        let (from, writer) = io::pipe()?;
        streams.push(OwnedFd::from(writer));
        outputs.push(Output {
            from: OwnedFd::from(from).into(),
            to,
            failing: Failing::Drains,
            hung_up: None,
        });
    }
    let mut streams = streams.into_iter();
    Ok(Prepared {
        streams: [
            Some(reader.try_clone()?.into()),
            streams.next(),
            streams.next(),
        ],
        is_terminal: false,
        passing: Passing {
            outputs,
            input: Some((file, writer, reader)),
            terminal: None,
            hung_up: Arc::default(),
        },
    })
}

/// A terminal, shown on this process's standard output.
fn terminal() -> io::Result<Prepared> {
    let (programs, shown, from) = Terminal::create()?.split()?;
    let (output, error) = (programs.try_clone()?, programs.try_clone()?);
    let to = rustix::stdio::stdout().try_clone_to_owned()?;
    let hung_up = Arc::<Notify>::default();
    Ok(Prepared {
        streams: [Some(programs), Some(output), Some(error)],
        is_terminal: true,
        passing: Passing {
            outputs: vec![Output {
                from,
                to: Box::new(File::from(to)),
                failing: Failing::Stops,
                hung_up: Some(Arc::clone(&hung_up)),
            }],
            input: None,
            terminal: Some(shown),
            hung_up,
        },
    })
}

/// This process's own streams, with pipes in the place of files.
fn own() -> io::Result<Prepared> {
    let mut passing = Passing {
        outputs: Vec::new(),
        input: None,
        terminal: None,
        hung_up: Arc::default(),
    };
    let input = match is_kept(rustix::stdio::stdin()) {
        true => None,
        false => {
            let (reader, writer) = io::pipe()?;
            let own = rustix::stdio::stdin().try_clone_to_owned()?;
            passing.input = Some((own.into(), writer, reader.try_clone()?));
            Some(reader.into())
        }
    };
    let mut into = |to: BorrowedFd<'_>| -> io::Result<OwnedFd> {
        let (from, writer) = io::pipe()?;
        passing.outputs.push(Output {
            from: OwnedFd::from(from).into(),
            to: Box::new(File::from(to.try_clone_to_owned()?)),
            failing: Failing::Stops,
            hung_up: None,
        });
        Ok(writer.into())
    };
    let (own_output, own_error) = (rustix::stdio::stdout(), rustix::stdio::stderr());
    let output = match is_kept(own_output) {
        true => None,
        false => Some(into(own_output)?),
    };
    let error = match (is_kept(own_error), &output) {
        (true, _) => None,
        // In one pipe what is written to both stays in order.
        (false, Some(output)) if is_same(own_output, own_error) => Some(output.try_clone()?),
        (false, _) => Some(into(own_error)?),
    };
    Ok(Prepared {
        streams: [input, output, error],
        is_terminal: false,
        passing,
    })
}

/// Whether a program may have a stream itself: pipes, sockets, terminals, and the devices that every
/// sandbox has anyway.
fn is_kept(stream: BorrowedFd<'_>) -> bool {
    let Ok(stat) = fstat(stream) else {
        // There is none.
        return true;
    };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Fifo | FileType::Socket => true,
        // Refused with what is wrong with it, before anything starts.
        FileType::Directory => true,
        FileType::CharacterDevice => rustix::termios::isatty(stream) || is_harmless(&stat),
        _ => false,
    }
}

/// Whether it is `null`, `zero`, `full`, `random` or `urandom` (Linux' `devices.txt`).
fn is_harmless(stat: &Stat) -> bool {
    const MEMORY: u32 = 1;
    major(stat.st_rdev) == MEMORY && matches!(minor(stat.st_rdev), 3 | 5 | 7 | 8 | 9)
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let of = |stream: BorrowedFd<'_>| -> Result<_, Errno> {
        let stat = fstat(stream)?;
        Ok((stat.st_dev, stat.st_ino))
    };
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

impl Passing {
    /// Begins to pass on.
    pub(super) fn start(self) -> io::Result<Passed> {
        let input = self.input;
        let input = input.map(|(from, to, reader)| Input::start(from, to, reader));
        let outputs = self.outputs.into_iter();
        Ok(Passed {
            outputs: outputs
                .map(|output| tokio::task::spawn_blocking(move || output.pass_on()))
                .collect(),
            input: input.transpose()?,
            terminal: match self.terminal {
                Some(shown) => Some(shown.start(Arc::clone(&self.hung_up))?),
                None => None,
            },
            hung_up: self.hung_up,
        })
    }
}

impl Passed {
    /// Waits until the terminal on which a program's own one is shown is gone; forever, where there is none.
    pub(super) async fn hung_up(&self) {
        self.hung_up.notified().await;
    }

    /// Waits until everything is passed on, which it is soon after the program and all that it
    /// started are gone.
    ///
    /// # Errors
    /// The first thing that could not be passed on, and what was being done.
    pub(super) async fn end(self) -> Result<(), (&'static str, io::Error)> {
        let failed = |error| ("pass on what the program wrote", error);
        let typing = self.terminal;
        let mut result = Ok(());
        for output in self.outputs {
            let done = output.await.map_err(io::Error::other).and_then(|done| done);
            result = result.and(done.map_err(failed));
        }
        drop(typing);
        let failed = |error| ("read standard input", error);
        match self.input.map(Input::end) {
            Some(input) => result.and(input.map_err(failed)),
            None => result,
        }
    }
}

impl Output {
    fn pass_on(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut result = Ok(());
        loop {
            let count = match self.from.read(&mut buffer) {
                Ok(0) => return result.and_then(|()| self.to.flush()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // A terminal's other end waits for nothing, because typing into it must not.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let _ = poll(&mut [PollFd::new(&self.from, PollFlags::IN)], None);
                    continue;
                }
                // The end of a terminal's output: no process has the other side open any more.
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => {
                    return result.and_then(|()| self.to.flush());
                }
                Err(error) => return result.and(Err(error)),
            };
            if result.is_ok() {
                result = self.to.write_all(buffer.get(..count).unwrap_or_default());
            }
            if let (Err(_), Some(hung_up)) = (&result, &self.hung_up) {
                hung_up.notify_one();
            }
            if result.is_err() && self.failing == Failing::Stops {
                return result;
            }
        }
    }
}
