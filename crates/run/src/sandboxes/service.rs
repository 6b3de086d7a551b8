//! Reads lines, has each sandbox do what is asked of it one after the other, and all of them side by
//! side, and writes the answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ohoci_compose::resolver::Resolver;
use ohoci_node::LayerStore;
use ohoci_sandbox::{Bubblewrap, Limiter, ProgramHandle};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinSet, block_in_place, spawn_blocking};

use super::answer;
use super::message::{Create, LONGEST_LINE, Mistake, Operation, Question};
use super::sandbox::Sandbox;
use crate::failure::RunFailure;
use crate::machine::Machine;

/// Most sandboxes at a time.
const MOST_SANDBOXES: usize = 10_000;

/// Most operations that wait for one sandbox, and most answers that wait to be read.
const MOST_WAITING: usize = 1024;

/// What sandboxes are made with.
#[derive(Debug)]
pub struct ServiceSettings {
    /// Opens references.
    pub resolver: Resolver,
    /// Keeps the layers.
    pub store: LayerStore,
    /// A directory for everything that is written to sandboxes.
    pub scratch: PathBuf,
    /// A `PATH` in which programs of this machine are looked for.
    pub path: Option<OsString>,
    /// Starts programs.
    pub bubblewrap: Bubblewrap,
    /// What each program may use.
    pub limiter: Arc<Limiter>,
    /// When a program is killed that asks for no other time.
    pub timeout: Option<Duration>,
    /// How many programs run, and how many images are made ready, at the same time.
    pub side_by_side: usize,
}

/// Sandboxes that are steered by lines of JSON.
///
/// It needs a runtime of several threads.
#[derive(Debug)]
pub struct Service {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: ServiceSettings,
    turns: Semaphore,
    sandboxes: Mutex<BTreeMap<String, Entry>>,
    /// How many were made, for names of directories.
    made: AtomicU64,
}

/// How a sandbox is reached.
#[derive(Debug)]
struct Entry {
    orders: mpsc::Sender<(Value, Order)>,
    handle: ProgramHandle,
    /// Its image's digest, once it is known.
    image: Option<String>,
}

/// What a sandbox does in its turn.
#[derive(Debug)]
enum Order {
    Exec(Box<super::message::Exec>),
    CopyIn(PathBuf, super::message::Content, Option<u32>),
    CopyOut(PathBuf, Option<PathBuf>),
    Reset,
    Remove,
}

impl Service {
    /// One without sandboxes.
    #[must_use]
    pub fn new(settings: ServiceSettings) -> Self {
        Self {
            shared: Arc::new(Shared {
                turns: Semaphore::new(settings.side_by_side.max(1)),
                settings,
                sandboxes: Mutex::default(),
                made: AtomicU64::new(0),
            }),
        }
    }

    /// Answers lines until there are no more and all that was asked for is done; then all sandboxes are
    /// removed. Dropping the future kills what runs.
    ///
    /// # Errors
    /// When lines cannot be read or answers cannot be written.
    pub async fn serve(
        self,
        mut input: impl AsyncBufRead + Unpin,
        output: impl AsyncWrite + Unpin + Send + 'static,
        version: &str,
    ) -> io::Result<()> {
        let (answers, waiting) = mpsc::channel(MOST_WAITING);
        let mut writing = JoinSet::new();
        writing.spawn(write(waiting, output));
        // Whoever asks knows by it that lines are read.
        tell(&answers, json!({"protocol": 1, "version": version})).await;
        let mut tasks = JoinSet::new();
        let read = loop {
            // Those that are over need no memory any more.
            while tasks.try_join_next().is_some() {}
            let line = tokio::select! {
                line = next_line(&mut input) => line,
                // Nothing can be answered any more.
                Some(written) = writing.join_next() => {
                    return written.map_err(io::Error::other)?;
                }
            };
            match line {
                Ok(Some(Line::Whole(line))) if line.iter().all(u8::is_ascii_whitespace) => {}
                Ok(Some(Line::Whole(line))) => match Question::parse(&line) {
                    Ok(question) => self.take(question, &answers, &mut tasks).await,
                    Err(mistake) => {
                        let Mistake { id, failure } = *mistake;
                        tell(&answers, answer::failed(&id, &failure)).await;
                    }
                },
                Ok(Some(Line::TooLong)) => {
                    let why = format!("the line has more than {LONGEST_LINE} bytes");
                    let failure = RunFailure::mistake(why);
                    tell(&answers, answer::failed(&Value::Null, &failure)).await;
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // Each ends when it has done what was asked for.
        self.shared.sandboxes.lock().clear();
        while tasks.join_next().await.is_some() {}
        drop(answers);
        match writing.join_next().await {
            Some(written) => written.map_err(io::Error::other)?.and(read),
            None => read,
        }
    }

    async fn take(
        &self,
        question: Question,
        answers: &mpsc::Sender<Value>,
        tasks: &mut JoinSet<()>,
    ) {
        let Question { id, operation } = question;
        let (sandbox, order) = match operation {
            Operation::Create(create) => return self.create(id, *create, answers, tasks).await,
            Operation::List => {
                return tell(answers, answer::done(&id, self.shared.list())).await;
            }
            Operation::Kill { sandbox, signal } => {
                // At once: what runs would hold it up.
                let handle = self.shared.handle(&sandbox);
                let answer = match handle.map(|handle| handle.send(signal)) {
                    None => answer::failed(&id, &none(&sandbox)),
                    Some(Ok(sent)) => answer::done(&id, json!({"sent": sent})),
                    Some(Err(errno)) => {
                        let what = format!("cannot send a signal into {sandbox}");
                        answer::failed(&id, &RunFailure::new(what, errno.to_string()))
                    }
                };
                return tell(answers, answer).await;
            }
            Operation::Exec(exec) => (exec.sandbox.clone(), Order::Exec(exec)),
            Operation::CopyIn {
                sandbox,
                path,
                content,
                mode,
            } => (sandbox, Order::CopyIn(path, content, mode)),
            Operation::CopyOut { sandbox, path, to } => (sandbox, Order::CopyOut(path, to)),
            Operation::Reset { sandbox } => (sandbox, Order::Reset),
            Operation::Remove { sandbox } => (sandbox, Order::Remove),
        };
        let failure = match self.shared.orders(&sandbox) {
            None => none(&sandbox),
            Some(orders) => match orders.try_reserve() {
                Ok(place) => return place.send((id, order)),
                Err(mpsc::error::TrySendError::Full(())) => RunFailure::new(
                    format!("cannot do that in {sandbox}"),
                    format!("{MOST_WAITING} operations wait for it"),
                ),
                Err(mpsc::error::TrySendError::Closed(())) => none(&sandbox),
            },
        };
        tell(answers, answer::failed(&id, &failure)).await;
    }

    async fn create(
        &self,
        id: Value,
        create: Create,
        answers: &mpsc::Sender<Value>,
        tasks: &mut JoinSet<()>,
    ) {
        let name = create.sandbox.clone();
        let (orders, taken) = mpsc::channel(MOST_WAITING);
        let handle = ProgramHandle::default();
        let entry = Entry {
            orders,
            handle: handle.clone(),
            image: None,
        };
        if let Err(failure) = self.shared.enter(&name, entry) {
            return tell(answers, answer::failed(&id, &failure)).await;
        }
        let life = Life {
            shared: Arc::clone(&self.shared),
            name,
            handle,
            answers: answers.clone(),
        };
        tasks.spawn(life.live(id, create, taken));
    }
}

impl Shared {
    fn enter(&self, name: &str, entry: Entry) -> Result<(), RunFailure> {
        let mut sandboxes = self.sandboxes.lock();
        let what = || format!("cannot make the sandbox {name}");
        if sandboxes.contains_key(name) {
            return Err(RunFailure::new(what(), "there is one of that name"));
        }
        if sandboxes.len() >= MOST_SANDBOXES {
            let why = format!("there are {MOST_SANDBOXES}");
            return Err(RunFailure::new(what(), why));
        }
        sandboxes.insert(name.to_owned(), entry);
        Ok(())
    }

    fn list(&self) -> Value {
        let sandboxes = self.sandboxes.lock();
        let all = sandboxes
            .iter()
            .map(|(name, entry)| json!({"sandbox": name, "image": entry.image}));
        json!({"sandboxes": all.collect::<Vec<_>>()})
    }

    fn handle(&self, name: &str) -> Option<ProgramHandle> {
        let sandboxes = self.sandboxes.lock();
        sandboxes.get(name).map(|entry| entry.handle.clone())
    }

    fn orders(&self, name: &str) -> Option<mpsc::Sender<(Value, Order)>> {
        let sandboxes = self.sandboxes.lock();
        sandboxes.get(name).map(|entry| entry.orders.clone())
    }

    fn machine(&self) -> Machine<'_> {
        Machine {
            resolver: &self.settings.resolver,
            store: Some(&self.settings.store),
            scratch: &self.settings.scratch,
            path: self.settings.path.as_deref(),
        }
    }
}

/// A sandbox from its making to its end.
struct Life {
    shared: Arc<Shared>,
    name: String,
    handle: ProgramHandle,
    answers: mpsc::Sender<Value>,
}

impl Life {
    async fn live(self, id: Value, create: Create, mut orders: mpsc::Receiver<(Value, Order)>) {
        let mut sandbox = match self.create(create).await {
            Ok(sandbox) => {
                tell(&self.answers, answer::done(&id, sandbox.told())).await;
                sandbox
            }
            Err(failure) => {
                self.leave(orders).await;
                return tell(&self.answers, answer::failed(&id, &failure)).await;
            }
        };
        while let Some((id, order)) = orders.recv().await {
            if let Order::Remove = order {
                self.leave(orders).await;
                block_in_place(|| drop(sandbox));
                return tell(&self.answers, answer::done(&id, json!({}))).await;
            }
            let answer = match self.obey(&mut sandbox, order).await {
                Ok(fields) => answer::done(&id, fields),
                Err(failure) => answer::failed(&id, &failure),
            };
            tell(&self.answers, answer).await;
        }
        block_in_place(|| drop(sandbox));
    }

    async fn create(&self, create: Create) -> Result<Sandbox, RunFailure> {
        let settings = &self.shared.settings;
        let number = self.shared.made.fetch_add(1, Ordering::Relaxed);
        let scratch = settings.scratch.join(format!("sandbox-{number}"));
        let _turn = self.turn().await?;
        let (wanted, given_up) = oneshot::channel::<()>();
        let shared = Arc::clone(&self.shared);
        let runtime = Handle::current();
        // In a thread of its own, because much of it waits for the disk.
        let making = spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    made = Sandbox::create(create, shared.machine(), scratch) => made,
                    _ = given_up => Err(RunFailure::new("cannot make a sandbox", "it was interrupted")),
                }
            })
        });
        let sandbox = making
            .await
            .map_err(|error| RunFailure::new("cannot make a sandbox", error.to_string()))??;
        drop(wanted);
        if let Some(entry) = self.shared.sandboxes.lock().get_mut(&self.name) {
            entry.image = sandbox.told().get("image").and_then(|image| {
                let image = image.as_str()?;
                Some(image.to_owned())
            });
        }
        Ok(sandbox)
    }

    async fn obey(&self, sandbox: &mut Sandbox, order: Order) -> Result<Value, RunFailure> {
        let settings = &self.shared.settings;
        match order {
            Order::Exec(mut exec) => {
                exec.timeout = exec.timeout.or(settings.timeout);
                let _turn = self.turn().await?;
                let (bubblewrap, limiter) = (&settings.bubblewrap, &settings.limiter);
                sandbox.exec(*exec, bubblewrap, limiter, &self.handle).await
            }
            Order::CopyIn(path, content, mode) => {
                block_in_place(|| sandbox.copy_in(&path, content, mode))
            }
            Order::CopyOut(path, to) => block_in_place(|| sandbox.copy_out(&path, to.as_deref())),
            Order::Reset => block_in_place(|| sandbox.reset()),
            Order::Remove => Ok(json!({})),
        }
    }

    async fn turn(&self) -> Result<tokio::sync::SemaphorePermit<'_>, RunFailure> {
        let turn = self.shared.turns.acquire().await;
        turn.map_err(|error| RunFailure::new("cannot wait for a turn", error.to_string()))
    }

    /// Gives the name free, and says to whoever asked for more that there is nothing any more.
    async fn leave(&self, mut orders: mpsc::Receiver<(Value, Order)>) {
        self.shared.sandboxes.lock().remove(&self.name);
        orders.close();
        while let Some((id, _)) = orders.recv().await {
            tell(&self.answers, answer::failed(&id, &none(&self.name))).await;
        }
    }
}

fn none(name: &str) -> RunFailure {
    RunFailure::new(
        format!("cannot use the sandbox {name}"),
        "there is none of that name",
    )
}

/// Has an answer written. Where answers are no longer read, the service ends.
async fn tell(answers: &mpsc::Sender<Value>, answer: Value) {
    let _ = answers.send(answer).await;
}

async fn write(
    mut answers: mpsc::Receiver<Value>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(answer) = answers.recv().await {
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        output.write_all(&line).await?;
        output.flush().await?;
    }
    Ok(())
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// The next line without its end; a longer one than can be is read and left out.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let chunk = input.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(match (is_too_long, line.is_empty()) {
                (true, _) => Some(Line::TooLong),
                (false, true) => None,
                (false, false) => Some(Line::Whole(line)),
            });
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        is_too_long |= line.len().saturating_add(part.len()) > LONGEST_LINE;
        match is_too_long {
            true => line = Vec::new(),
            false => line.extend_from_slice(part),
        }
        let taken = end.map_or(chunk.len(), |end| end.saturating_add(1));
        input.consume(taken);
        if end.is_some() {
            return Ok(Some(match is_too_long {
                true => Line::TooLong,
                false => Line::Whole(line),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_cut_and_those_that_are_too_long_left_out() {
        let long = vec![b'x'; LONGEST_LINE + 1];
        let text = [b"one\n\n", long.as_slice(), b"\ntwo"].concat();
        let mut input = tokio::io::BufReader::new(text.as_slice());
        let mut said = Vec::new();
        while let Some(line) = next_line(&mut input).await.unwrap() {
            said.push(match line {
                Line::Whole(line) => String::from_utf8(line).unwrap(),
                Line::TooLong => "too long".to_owned(),
            });
        }
        assert_eq!(said, ["one", "", "too long", "two"]);
    }
}
