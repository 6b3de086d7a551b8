//! What a sandbox writes comes through in its order, whole, and whatever becomes of who takes it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ohoci_sandbox::{Bubblewrap, Calls, Ended, Network, RunError, Sandbox, Streams};

/// Takes so many bytes and fails then; keeps their start and their number.
#[derive(Clone)]
struct Sink {
    taken: Arc<Mutex<(String, usize)>>,
    room: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = self.taken.lock().unwrap();
        taken.1 += bytes.len();
        if taken.1 > self.room {
            return Err(io::Error::other("the sink is full"));
        }
        let room = 1000_usize.saturating_sub(taken.0.len());
        let start = &bytes[..bytes.len().min(room)];
        taken.0.push_str(std::str::from_utf8(start).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a script with one pipe for all that it writes; says what came through, and how much.
async fn piped(
    script: &str,
    room: usize,
    limit: Option<Duration>,
) -> (Result<Ended, RunError>, String, usize) {
    let root = tempfile::tempdir().unwrap();
    for directory in ["bin", "dev", "proc"] {
        fs_err::create_dir(root.path().join(directory)).unwrap();
    }
    for name in ["sh", "dd", "sleep", "cat"] {
        fs_err::copy("/bin/busybox", root.path().join("bin").join(name)).unwrap();
    }
    let sandbox = Sandbox {
        root: root.path().to_owned(),
        writable: false,
        binds: Vec::new(),
        temporary: Vec::new(),
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        directory: "/".into(),
        user: 0,
        group: 0,
        network: Network::None,
        host_name: "box".to_owned(),
        calls: Calls::default(),
    };
    let sink = Sink {
        taken: Arc::default(),
        room,
    };
    let command = ["sh", "-c", script].map(Into::into);
    let bubblewrap = Bubblewrap::find(std::env::var_os("PATH").as_deref()).unwrap();
    let streams = Streams::Into(Box::new(sink.clone()));
    let ended = bubblewrap.run(&sandbox, &command, streams, limit).await;
    let (start, size) = sink.taken.lock().unwrap().clone();
    (ended, start, size)
}

#[tokio::test]
async fn both_streams_come_through_one_pipe_in_their_order() {
    let script = "cat; echo 1; echo 2 >&2; echo 3; echo 4 >&2; exit 5";
    let (ended, said, _) = piped(script, 1000, None).await;
    assert_eq!(ended.unwrap(), Ended::Exited(5));
    assert_eq!(said, "1\n2\n3\n4\n");
}

#[tokio::test]
async fn what_was_written_before_the_time_was_over_is_there() {
    let limit = Some(Duration::from_millis(1500));
    let (ended, said, _) = piped("echo before; sleep 60 & sleep 60", 1000, limit).await;
    assert_eq!(ended.unwrap(), Ended::TimedOut);
    assert_eq!(said, "before\n");
}

#[tokio::test]
async fn much_output_comes_whole() {
    let script = "dd if=/dev/zero bs=1048576 count=100 2>/dev/null; exit 6";
    let (ended, _, size) = piped(script, usize::MAX, None).await;
    assert_eq!((ended.unwrap(), size), (Ended::Exited(6), 100 << 20));
}

#[tokio::test]
async fn a_sink_that_fails_is_told_of_and_holds_nobody_up() {
    let script = "dd if=/dev/zero bs=1048576 count=3 2>/dev/null";
    let (ended, _, _) = piped(script, 1 << 20, None).await;
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("the sink is full"), "{error}");
}
